"""A line of progress that also says how many features are there."""

from distmerge.coordinator.features import FeatureKey


class FeatureLine(str):
    """``features DONE/TOTAL: ...``, of those that the caches lacked."""

    __slots__ = ("done", "total")
    done: int
    total: int

    @classmethod
    def of(cls, done: int, total: int, key: FeatureKey) -> "FeatureLine":
        """Give the line about one more model on one more role of a task."""
        line = cls(f"features {done}/{total}: {key.model} on {key.role} samples of {key.task}")
        line.done, line.total = done, total
        return line
