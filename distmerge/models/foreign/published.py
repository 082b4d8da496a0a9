"""Coefficient tables as AdaMerging's authors published them: rows without names."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.errors import CheckpointError, problem_list

_STEM = (
    *("class_embedding", "positional_embedding", "proj", "conv1.weight"),
    *("ln_pre.weight", "ln_pre.bias"),
)
_MODULES = ("ln_1.", "attn.in_proj_", "attn.out_proj.", "ln_2.", "mlp.c_fc.", "mlp.c_proj.")
_FINAL = ("ln_post.weight", "ln_post.bias")
_TEXT_ROWS = slice(3, -3)
_START = 0.3


def published_coefficients(
    rows: Sequence[Sequence[float]], *, num_tasks: int
) -> dict[str, Float[Tensor, " task"]]:
    """Give each tensor's coefficients by its name; rows of the text tower are left out.

    A leading column of ones, the base's own coefficient, may be there. Source: algorithms.md 1.2.

    Args:
        rows: 158 rows for ViT-B, 302 for ViT-L.
        num_tasks: how many coefficients a row has.

    Raises:
        CheckpointError: another number of rows or columns, or a table that is shifted: the three
            first and three last rows, the text tower's, never move from 0.3.
    """
    layers, rest = divmod(len(rows) - len(_STEM) - len(_FINAL) - 6, 2 * len(_MODULES))
    if rest or layers < 1:
        raise CheckpointError(f"a table of {len(rows)} rows; expected 158 (ViT-B) or 302 (ViT-L)")
    values = [list(row)[len(row) == num_tasks + 1 and row[0] == 1 :] for row in rows]
    problems = [
        f"row {index}: {len(rows[index])} values; expected {num_tasks}, or 1 and {num_tasks}"
        for index, row in enumerate(values)
        if len(row) != num_tasks
    ]
    problems += [
        f"row {index}: {values[index]}; expected {_START} throughout (a text tensor)"
        for index in (0, 1, 2, len(rows) - 3, len(rows) - 2, len(rows) - 1)
        if any(abs(value - _START) > 1e-6 for value in values[index])
    ]
    if problems:
        title = "not a table of AdaMerging, or its rows are shifted"
        raise CheckpointError(problem_list(title, problems))
    visual = torch.tensor(values, dtype=torch.float32)[_TEXT_ROWS]
    return dict(zip(_names(layers), visual, strict=True))


def _names(layers: int) -> list[str]:
    blocks = [
        f"transformer.resblocks.{index}.{module}{kind}"
        for index in range(layers)
        for module in _MODULES
        for kind in ("weight", "bias")
    ]
    return [*_STEM, *blocks, *_FINAL]
