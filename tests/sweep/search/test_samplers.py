import optuna
import pytest

from distmerge.spec import Choice, Distribution, IntUniform, LogUniform, Sampler, Uniform, Value
from distmerge.sweep.search.samplers import drawn, sampler

SPACE: dict[str, Distribution] = {
    "rate": LogUniform(1e-3, 1e-1),
    "init": Uniform(0.1, 0.4),
    "rank": IntUniform(2, 9),
    "mode": Choice(("fast", "slow")),
    "fixed": Choice((7,)),
}
SAMPLERS: list[Sampler] = ["tpe", "random", "grid", "nsga2"]


def draws(name: Sampler, seed: int, *, known: bool = True) -> list[dict[str, Value]]:
    study = optuna.create_study(direction="maximize")
    study.sampler = sampler(name, seed, trials=20, space=SPACE if known else None)
    found = []
    for _ in range(20):
        trial = study.ask()
        values = {key: drawn(trial, key, range_) for key, range_ in SPACE.items()}
        study.tell(trial, float(values["init"]))
        found.append(values)
    return found


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_drawn_lies_in_its_range_and_has_its_type(name: Sampler) -> None:
    for values in draws(name, 0):
        assert 1e-3 <= float(values["rate"]) <= 1e-1
        assert 0.1 <= float(values["init"]) <= 0.4
        assert values["rank"] in range(2, 10)
        assert isinstance(values["rank"], int)
        assert values["mode"] in {"fast", "slow"}
        assert values["fixed"] == 7


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_gives_the_same_draws(name: Sampler) -> None:
    assert draws(name, 3) == draws(name, 3) != draws(name, 4)


def test_a_space_that_is_known_changes_no_draw_of_tpe() -> None:
    known, found = (draws("tpe", 5, known=each) for each in (True, False))
    assert known[:10] == found[:10]
