import json

import pytest

from distmerge.spec import Selection


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        (Selection(0.2), 2),
        (Selection(0.2, trim_rule="reference"), 3),
        (Selection(0.01), 1),
        (Selection(1.0), 10),
        (Selection(1.0, trim_rule="reference"), 10),
        (Selection(0.2, text_parameters=5), 3),
        (Selection(0.9, text_parameters=5), 10),
    ],
)
def test_the_number_of_kept_parameters(selection: Selection, kept: int) -> None:
    assert selection.kept(10) == kept


def test_text_parameters_give_the_effective_density_of_the_published_numbers() -> None:
    visual = 87_849_216  # ViT-B/32; algorithms.md 3.3 gives 25.8 %
    share = Selection(0.2, text_parameters=25_599_489).kept(visual) / visual
    assert share == pytest.approx(0.258, abs=5e-4)


def test_a_selection_survives_json() -> None:
    selection = Selection(0.3, "max", "reference", 7)
    assert Selection(**json.loads(json.dumps(selection.state()))) == selection
