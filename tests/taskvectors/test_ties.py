import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distmerge.taskvectors import Layout, Selection, TaskVectors, selected
from tests.oracles.ties import ties_rows

# The golden example of algorithms.md 3.3: 3 tasks x 10 parameters.
ROWS = torch.tensor(
    [
        [5, -4, 3, 2, 1, 0.5, 0.4, 0.3, 0.2, 0.1],
        [-1, -3, 2.5, -6, 0.9, 0.8, -0.7, 0.6, -0.5, 0.05],
        [4, 2, -3.5, 1.5, -0.2, 0.25, 0.35, -0.45, 0.55, -0.65],
    ]
)


def bank(rows: Tensor) -> TaskVectors:
    layout = Layout.of({"w": torch.Size([rows.shape[1]])})
    names = tuple(f"task{k}" for k in range(len(rows)))
    return TaskVectors(names, layout, torch.zeros(rows.shape[1]), rows)


def aggregated(rows: Tensor, selection: Selection) -> list[float]:
    merged: list[float] = selected(bank(rows), selection).vectors.sum(dim=0).tolist()
    return merged


@pytest.mark.parametrize(
    ("aggregate", "golden"),
    [
        ("sum", [9.0, -7.0, 5.5, -6.0]),
        ("mean", [4.5, -3.5, 2.75, -6.0]),
        ("max", [5.0, -4.0, 3.0, -6.0]),
    ],
)
def test_the_golden_example_by_the_rule_of_the_reference(
    aggregate: str, golden: list[float]
) -> None:
    selection = Selection(0.2, aggregate, "reference")  # type: ignore[arg-type]  # parametrized
    assert aggregated(ROWS, selection) == [*golden, *[0.0] * 6]


@pytest.mark.parametrize(
    ("aggregate", "golden"), [("sum", [9.0, -7.0, -3.5, -6.0]), ("mean", [4.5, -3.5, -3.5, -6.0])]
)
def test_the_golden_example_by_the_exact_rule(aggregate: str, golden: list[float]) -> None:
    selection = Selection(0.2, aggregate)  # type: ignore[arg-type]  # parametrized
    assert aggregated(ROWS, selection) == [*golden, *[0.0] * 6]


def test_the_selected_rows_are_those_of_the_golden_example() -> None:
    rows = selected(bank(ROWS), Selection(0.2, trim_rule="reference")).vectors[:, :4]
    assert rows.tolist() == [[5, -4, 3, 0], [0, -3, 2.5, -6], [4, 0, 0, 0]]


@given(st.integers(1, 40), st.floats(0.01, 1.0))
def test_exactly_the_asked_share_is_kept(size: int, density: float) -> None:
    row = torch.arange(1.0, size + 1)[None]
    kept = selected(bank(row), Selection(density)).vectors
    assert int((kept != 0).sum()) == max(1, int(size * density))


@given(st.integers(0, 10_000), st.sampled_from(["sum", "mean", "max"]), st.floats(0.05, 1.0))
def test_it_equals_the_oracle(seed: int, aggregate: str, density: float) -> None:
    generator = np.random.default_rng(seed)
    rows = np.round(generator.normal(size=(3, 17)), 1)  # rounding makes ties and zero sums
    selection = Selection(density, aggregate)  # type: ignore[arg-type]  # drawn
    found = selected(bank(torch.from_numpy(rows).float()), selection).vectors.sum(dim=0)
    single = rows.astype(np.float32)
    expected = ties_rows(single.astype(np.float64), density, aggregate)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_one_task_keeps_its_trimmed_vector() -> None:
    found = selected(bank(ROWS[:1]), Selection(0.3)).vectors[0]
    assert found.tolist() == [5, -4, 3, 0, 0, 0, 0, 0, 0, 0]


def test_full_density_and_equal_signs_sum_as_task_arithmetic() -> None:
    rows = ROWS.abs()
    assert torch.equal(selected(bank(rows), Selection(1.0)).vectors, rows)


def test_the_order_of_the_tasks_does_not_matter() -> None:
    order = [2, 0, 1]
    found = selected(bank(ROWS[order]), Selection(0.3)).vectors
    assert torch.equal(found, selected(bank(ROWS), Selection(0.3)).vectors[order])


def test_scaling_commutes_with_selection() -> None:
    found = selected(bank(4 * ROWS), Selection(0.3)).vectors
    assert torch.equal(found, 4 * selected(bank(ROWS), Selection(0.3)).vectors)


def test_parameters_tied_with_the_threshold_are_kept() -> None:
    row = torch.tensor([[3.0, -2.0, 2.0, 1.0]])
    found = selected(bank(row), Selection(0.5)).vectors
    assert found.tolist() == [[3.0, -2.0, 2.0, 0.0]]


def test_zero_sums_take_the_majority_sign() -> None:
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])
    assert selected(bank(rows), Selection(1.0)).vectors[:, 1].tolist() == [1.0, 0.0]
    assert selected(bank(-rows), Selection(1.0)).vectors[:, 1].tolist() == [-1.0, 0.0]


def test_the_inputs_are_not_changed_and_the_selection_is_recorded() -> None:
    before, plain = ROWS.clone(), bank(ROWS)
    found = selected(plain, Selection(0.2))
    assert torch.equal(ROWS, before)
    assert plain.selection is None
    assert found.selection == Selection(0.2)


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = selected(bank(ROWS), Selection(0.3)).vectors
    monkeypatch.setattr("distmerge.taskvectors.ties._CHUNK", 3)
    assert torch.equal(selected(bank(ROWS), Selection(0.3)).vectors, whole)
