"""Which seeds a pipeline runs with."""

from distmerge.methods import METHODS
from distmerge.spec import Pipeline, Study


def other_seeds(study: Study, pipeline: Pipeline) -> range:
    """Give the seeds to repeat a pipeline's best configuration with, none if it draws nothing."""
    random = any(METHODS[stage].random for stage in pipeline.stages)
    return study.seeds[1:] if random else range(0)
