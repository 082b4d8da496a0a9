import torch
from torch.func import functional_call

from benchmarks import our_side
from benchmarks.step_world import INIT, World, material
from benchmarks.towers import SMALL, random_bank
from distmerge.methods.losses import softmax_entropy
from distmerge.models.architecture import skeleton
from distmerge.tasks import batch_indices

WORLD = World(SMALL, num_tasks=3, dtype=torch.float64)
SIZE = 2


def test_a_step_has_the_gradient_that_autograd_finds_through_the_merge() -> None:
    bank, known, module = random_bank(SMALL, 3, torch.float64), material(WORLD), skeleton(SMALL)
    coefficients = torch.full((3, len(bank.layout.segments)), INIT, dtype=torch.float64)
    sizes = torch.tensor([segment.size for segment in bank.layout.segments])
    spread = coefficients.requires_grad_().repeat_interleave(sizes, dim=1)
    weights = bank.layout.unflatten(bank.base + (spread * bank.vectors).sum(dim=0))
    named = {module.PREFIX + name: tensor for name, tensor in weights.items()}
    for task in known.tasks:
        indices = batch_indices(0, task.name, 0, size=SIZE, available=len(task.adapt))
        images = task.adapt.batch(indices, SMALL.preprocess)
        features = functional_call(module, named, (images,), {"layers": False})
        softmax_entropy(known.heads[task.name](features)).mean().backward(retain_graph=True)
    torch.testing.assert_close(our_side.step(WORLD, SIZE), coefficients.grad, rtol=1e-8, atol=1e-12)


def test_predictions_are_neither_sure_nor_blind() -> None:
    assert 0.3 < our_side.entropy_share(WORLD, SIZE) < 0.95
