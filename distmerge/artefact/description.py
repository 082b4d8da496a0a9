"""What a model's folder holds, and what made it: ``recipe.json``."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from distmerge.errors import CheckpointError, problem_list
from distmerge.spec import AnyTower, Frozen, Value, field_problems

RECIPE = "recipe.json"
CARD = "README.md"
MODEL = "model.safetensors"
COEFFICIENTS = "coefficients.safetensors"
CORRECTIONS = "corrections.safetensors"
OWN = "own.safetensors"
ROUTER = "router.safetensors"
VECTORS = "vectors.safetensors"


def head_file(task: str) -> str:
    """Give where the head of a task lies in the folder."""
    return f"heads/{task}.safetensors"


class Description(Frozen):
    """What made a merged model, what its folder holds, and how well it works."""

    format: Literal[1] = 1
    """Version of the folder's layout."""
    run_id: str
    """The run that made the model."""
    study: str
    """The run's study."""
    method: str
    """Names of the stages joined by ``+``."""
    hyper: dict[str, Value]
    """Every hyperparameter of the stages, as ``method.field``."""
    seed: int
    """The run's seed."""
    protocol: str
    """Whether it was adapted on images of its own (disjoint) or on the report images."""
    tasks: tuple[str, ...]
    """The merged tasks, in order."""
    classes: dict[str, tuple[str, ...]]
    """Class names per task, in the order of the head's rows."""
    tower: AnyTower
    """The tower and its input."""
    routed: bool
    """Whether every sample gets a merge of its own."""
    files: dict[str, str]
    """What the folder's files hold, by name."""
    accuracy: dict[str, dict[str, float]]
    """Accuracy on report samples: by column (clean, a level, ...), then by task."""
    base_digest: str
    """SHA-256 of the pretrained tower's file, 16 digits."""
    checkpoint_digests: dict[str, str]
    """The same of every task's checkpoint."""
    head_digests: dict[str, str]
    """The same of every task's head."""
    data_digest: str
    """Identifies all samples and labels of the study."""
    package_version: str
    """Version of distmerge that ran."""
    git_commit: str | None
    """Its commit, in a checkout."""
    torch_version: str
    """Version of torch that ran."""


def load_description(folder: Path) -> Description:
    """Give the description in a model's folder, all of whose files are there.

    Raises:
        CheckpointError: it is no such folder, or lists every file that is missing.
    """
    path = folder / RECIPE
    try:
        found = Description.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{folder}: cannot read {RECIPE} ({error}); expected a local folder that "
            "`distmerge export` or a sweep wrote"
        ) from error
    except ValidationError as error:
        problems = field_problems(error)
        raise CheckpointError(problem_list(f"{path}: not a model's recipe", problems)) from error
    missing = [name for name in found.files if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(problem_list(f"{folder}: files are missing", missing))
    return found
