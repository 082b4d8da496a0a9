"""What a notebook writes becomes what a study file holds."""

import pytest

from distmerge.api import Stage
from distmerge.api.asked import Options, pipeline_content
from distmerge.spec import ModelFiles, Study


@pytest.mark.parametrize(
    "stages", ["ties", ["ties"], {"ties": {}}], ids=["a name", "a list", "a mapping"]
)
def test_one_method_may_be_written_in_three_ways(stages: Stage) -> None:
    assert pipeline_content(stages) == {"stages": ["ties"], "settings": {}}


def test_stages_keep_their_order_and_settings_get_their_methods_name() -> None:
    stages: list[Stage] = [{"ties": {"density": 0.2}}, "surgery"]
    assert pipeline_content(stages) == {
        "stages": ["ties", "surgery"],
        "settings": {"ties.density": 0.2},
    }


def test_options_are_places_of_files_and_keys_of_a_study() -> None:
    keys = Options.__annotations__.keys() - {"heads"}
    assert keys <= Study.model_fields.keys() | ModelFiles.model_fields.keys()
