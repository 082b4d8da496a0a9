import pytest

from distmerge.tasks.records import Wanted


@pytest.mark.parametrize(
    ("role", "labelled"), [("adapt", False), ("select", True), ("report", True), ("", True)]
)
def test_only_a_source_for_adaptation_goes_without_labels(role: str, *, labelled: bool) -> None:
    assert Wanted(None, role).labelled is labelled
