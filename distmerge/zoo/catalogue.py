"""The built-in zoos by name: where they lie, and how they come into being."""

import os
from collections.abc import Callable
from pathlib import Path

from distmerge.errors import ZooError
from distmerge.spec import ModelFiles
from distmerge.zoo.folder import ZooFolder, sole_builder, zoo_folder
from distmerge.zoo.mini import MINI, MINI12
from distmerge.zoo.text import TEXT
from distmerge.zoo.text_recipe import AnyRecipe
from distmerge.zoo.tiny import TINY

ZOOS: tuple[str, ...] = ("tiny", "mini", "mini12", "text")
"""Names of the built-in zoos."""

_RECIPES: dict[str, AnyRecipe] = {r.name: r for r in (TINY, MINI, MINI12, TEXT)}


def cache_root() -> Path:
    """Give the folder of everything that can be built again.

    ``$DISTMERGE_CACHE``, else ``$XDG_CACHE_HOME/distmerge``, else ``~/.cache/distmerge``.
    """
    if own := os.environ.get("DISTMERGE_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser() / "distmerge"


def zoo_files(name: str, *, root: Path | None = None) -> ModelFiles | None:
    """Give the files of a zoo, or nothing where it is not completely built.

    Args:
        name: one of ``ZOOS``.
        root: the cache; by default ``cache_root()``.

    Raises:
        ZooError: there is no such zoo.
    """
    recipe = _recipe(name)
    folder = zoo_folder(recipe, root or cache_root())
    return folder.files(recipe) if folder.finished.exists() else None


def build_zoo(
    name: str,
    *,
    root: Path | None = None,
    workers: int | None = None,
    report: Callable[[str], None],
) -> ModelFiles:
    """Give the files of a zoo, after building what is missing of it.

    A killed build goes on where it was. A second builder of the same zoo waits for the first.

    Args:
        name: one of ``ZOOS``.
        root: the cache; by default ``cache_root()``.
        workers: processes, one task at a time each; by default as many as there are cores.
        report: takes one line of progress at a time.

    Raises:
        ZooError: there is no such zoo, a package is missing, or the build failed.
    """
    recipe = _recipe(name)
    cache = root or cache_root()
    folder = zoo_folder(recipe, cache)
    if not folder.finished.exists():
        with sole_builder(folder, report):
            if not folder.finished.exists():
                _build(recipe, folder, cache / "downloads", workers, report)
    return folder.files(recipe)


def _build(
    recipe: AnyRecipe,
    folder: ZooFolder,
    downloads: Path,
    workers: int | None,
    report: Callable[[str], None],
) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from distmerge.zoo.sources import fetched, require_extra

    require_extra()
    from distmerge.zoo.build import build  # imports packages of the extra
    from distmerge.zoo.pool import process_pool, stop_processes

    packages = fetched(recipe.packages, downloads, report)
    with process_pool(workers, len(recipe.tasks)) as pool:
        try:
            build(recipe, folder, packages, pool, report)
        except KeyboardInterrupt:
            report(f"zoo {recipe.name}: stopped; finished tasks are kept")
            stop_processes()
            raise
        except BrokenProcessPool as error:
            raise ZooError(
                f"zoo {recipe.name}: a building process was killed, perhaps for lack of memory; "
                "run again, finished tasks are kept (fewer workers need less memory)"
            ) from error


def _recipe(name: str) -> AnyRecipe:
    if name not in _RECIPES:
        raise ZooError(f"unknown zoo {name!r}; built-in zoos: {', '.join(ZOOS)}")
    return _RECIPES[name]
