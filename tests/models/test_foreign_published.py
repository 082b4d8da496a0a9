import pytest
import torch

from distmerge.errors import CheckpointError
from distmerge.models import Tower, published_coefficients
from tests.world import TOWER


def table(num_rows: int, num_tasks: int = 8) -> list[list[float]]:
    """A table of the authors' form; visual row i holds i everywhere."""
    rows = [[1.0, *[float(index)] * num_tasks] for index in range(num_rows)]
    for index in (0, 1, 2, -3, -2, -1):
        rows[index] = [1.0, *[0.3] * num_tasks]
    return rows


@pytest.mark.parametrize(("num_rows", "layers"), [(158, 12), (302, 24)])
def test_rows_get_the_names_of_the_towers_tensors_in_their_order(
    num_rows: int, layers: int
) -> None:
    named = published_coefficients(table(num_rows), num_tasks=8)
    tower = Tower(TOWER.model_copy(update={"layers": layers}))
    assert list(named) == list(tower.shapes)
    assert [row[0].item() for row in named.values()] == list(range(3, num_rows - 3))
    assert named["ln_post.bias"].shape == (8,)


def test_the_column_of_ones_may_be_missing() -> None:
    bare = [row[1:] for row in table(158)]
    found = published_coefficients(bare, num_tasks=8)
    expected = published_coefficients(table(158), num_tasks=8)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("by", [1, -1, 3])
def test_a_shifted_table_is_refused(by: int) -> None:
    rows = table(158)
    with pytest.raises(CheckpointError, match=r"its rows are shifted:\n.*expected 0\.3 throughout"):
        published_coefficients([*rows[by:], *rows[:by]], num_tasks=8)


@pytest.mark.parametrize("num_rows", [0, 8, 14, 152, 157])
def test_a_table_of_another_length_is_refused(num_rows: int) -> None:
    with pytest.raises(CheckpointError, match=f"{num_rows} rows; expected 158"):
        published_coefficients([[0.3]] * num_rows, num_tasks=1)


def test_rows_of_another_width_are_listed() -> None:
    rows = table(158)
    rows[5] = [2.0, *rows[5][1:]]
    with pytest.raises(CheckpointError, match=r"row 5: 9 values; expected 8, or 1 and 8"):
        published_coefficients(rows, num_tasks=8)
