import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.limits import forward_flops, step_flops
from benchmarks.towers import SMALL
from distmerge.models.architecture import drawn


def test_the_operations_of_a_step_are_those_that_torch_counts() -> None:
    tower, images = drawn(SMALL), torch.zeros(2, 3, SMALL.image_size, SMALL.image_size)
    with sdpa_kernel(SDPBackend.MATH):  # the fused one of CPUs is not counted
        with FlopCounterMode(display=False) as forward:
            features = tower(images, layers=False)
        with FlopCounterMode(display=False) as backward:
            features.sum().backward()
    assert forward.get_total_flops() == 2 * forward_flops(SMALL)
    assert forward.get_total_flops() + backward.get_total_flops() == step_flops(SMALL, 2)
