import pytest
from ray.util.accelerators import accelerators

from distmerge.actors.gpus import gpu_bytes, gpu_kind, on_kind


@pytest.mark.parametrize(
    ("resources", "kind"),
    [
        ({"CPU": 8.0, "GPU": 1.0, "accelerator_type:T4": 1.0}, "T4"),
        ({"GPU": 1.0, "accelerator_type:A100": 1.0, "accelerator_type:A100-80G": 1.0}, "A100-80G"),
        ({"GPU": 1.0}, ""),
        ({}, ""),
    ],
)
def test_the_kind_is_the_one_that_says_most(resources: dict[str, float], kind: str) -> None:
    assert gpu_kind(resources) == kind


@pytest.mark.parametrize(("kind", "gib"), [("T4", 14.4), ("A100-80G", 72.0), ("L4", 21.6)])
def test_a_tenth_of_the_memory_is_left_to_cuda(kind: str, gib: float) -> None:
    assert gpu_bytes(kind) == int(gib * 2**30)


def test_nothing_is_made_up_of_a_kind_that_is_not_known() -> None:
    assert gpu_bytes("GeForce-RTX-5090") is None
    assert gpu_bytes("") is None


def test_every_nvidia_kind_that_ray_names_is_known() -> None:
    named = [value for name, value in vars(accelerators).items() if name.startswith("NVIDIA")]
    assert len(named) > 15
    assert [kind for kind in named if gpu_bytes(kind) is None] == []


def test_a_process_asks_for_a_kind_only_where_there_are_several() -> None:
    assert on_kind("") == {}
    assert on_kind("T4") == {"accelerator_type:T4": 0.001}
