"""What a notebook writes becomes what a study file holds."""

import pytest

from distmerge.api import Stage
from distmerge.api.asked import pipeline_content


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
