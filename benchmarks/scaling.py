"""The coordinator against one step of its workers, as models and nodes grow."""

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.limits import matrix_rate, step_flops
from benchmarks.rows import Row
from benchmarks.towers import SMALL, VIT_B_32

IMAGES = 16  # of a task and step
GPU_FLOPS = 20e12  # of a graphics card in float32
HOSTS = 8  # nodes of Ray at most; 64 are too many for a small machine
_SLEEP_S = 0.02
_CLASSES = 10
_LOG = logging.getLogger(__name__)


class Step(NamedTuple):
    """One step of the coordinator."""

    cpu_s: float
    """Of all threads of the driver: it draws, asks, adds up and steps."""
    wall_s: float
    """With the workers' answers, which come after ``_SLEEP_S``."""


def coordinator(
    nodes: tuple[int, ...] = (1, 8, 64),
    models: tuple[int, ...] = (8, 32, 128),
    steps: int = 20,
    hosts: int = HOSTS,
) -> Iterator[Row]:
    """Yield the processor time of a step of the coordinator beside the step of a worker.

    The coordinator is the real one: AdaMerging's problem in ``optimise``, with draws and teachers
    from a feature bank in the object store, ``RayModels`` as the port, its sum of partial gradients
    in a fixed order, Adam, and the coefficients of K models by the 152 tensors of a ViT-B/32. The
    workers are stand-ins that answer K x L numbers after a pause. At most ``hosts`` nodes are
    nodes of Ray's ``Cluster``, each with a process; where there are more workers, each process
    answers for several at a time.

    The limit is a step of a real worker, computed: forward and backward of a ViT-B/32 on 16 images
    for each of its K / nodes tasks, at the rate of this machine's matrix products. It is measured
    in processor time, which other work on the machine does not change.

    Raises:
        AssertionError: the coefficients are not those of the partial sums.
    """
    rate = matrix_rate(torch.float32)
    found = dict[tuple[int, int], Step]()
    for count in nodes:
        with _workers(count, min(count, hosts)) as actors:
            for size in models:
                _LOG.info("%d nodes, %d models", count, size)
                step = found[count, size] = _step(actors, count, size, steps)
                share = step_flops(VIT_B_32, -(-size // count) * IMAGES)
                yield Row(
                    f"coordinator, {count} nodes, {size} models",
                    step.cpu_s,
                    limit_s=share / rate,
                    target=0.05,
                    note=f"{1e3 * (step.wall_s - _SLEEP_S):.1f} ms by the clock; of a step at "
                    f"{GPU_FLOPS / 1e12:g} TFLOP/s {step.cpu_s * GPU_FLOPS / share:.1%}",
                )
        few, many = models[0], models[-1]
        yield Row(
            f"coordinator, {count} nodes, {many} models / {few}",
            found[count, many].cpu_s,
            limit_s=found[count, few].cpu_s * many / few,
            target=1.0,
            note="the limit: as many times the smallest as there are more models",
        )


@contextmanager
def local_cluster(nodes: int, cores: int = 1) -> Iterator[Any]:
    """Hold a cluster on loopback that no other program of this machine takes for its own."""
    from distmerge.sweep.environment import set_ray_environment

    set_ray_environment()
    with tempfile.TemporaryDirectory(prefix="dm-") as folder:
        os.environ["RAY_TMPDIR"] = folder
        import ray
        from ray.cluster_utils import Cluster

        head = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": 200_000_000}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes - 1):
                cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
            ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            yield ray
        finally:
            ray.shutdown()
            cluster.shutdown()
            del os.environ["RAY_TMPDIR"]


@contextmanager
def _workers(nodes: int, hosts: int) -> Iterator[list[Any]]:
    """Hold the actors that stand in for the workers of so many nodes."""
    with local_cluster(hosts) as ray:
        remote = ray.remote(Worker).options(num_cpus=1, max_concurrency=nodes // hosts)
        actors = [remote.remote() for _ in range(hosts)]
        ray.get([actor.ready.remote() for actor in actors], timeout=300)
        yield actors


class Worker:
    """Answers as a task actor does, without its work."""

    def ready(self) -> None:
        """Answer once the process is up."""
        import distmerge.coordinator  # noqa: F401

    def gradient(self, asked: Any, share: Any, _own: Any) -> Any:
        """Give partial sums of the right size: ones for every task of the share."""
        from distmerge.methods.contract import Gradient

        time.sleep(_SLEEP_S)
        return Gradient(1.0, torch.full_like(asked.coefficients, float(len(share))), {})


def _step(actors: list[Any], nodes: int, models: int, steps: int) -> Step:
    """Give the medians of a step's costs."""
    from distmerge.coordinator import optimise

    problem, coefficients = _problem(actors, nodes, models, steps)
    times: list[tuple[float, float]] = [(time.process_time(), time.perf_counter())]
    optimise(problem, lambda _: times.append((time.process_time(), time.perf_counter())))
    assert float(coefficients.std()) < 1e-9  # equal gradients: Adam moves all alike
    spent = np.median(np.diff(np.array(times), axis=0)[2:], axis=0)
    return Step(*spent.tolist())


def _problem(actors: list[Any], nodes: int, models: int, steps: int) -> tuple[Any, torch.Tensor]:
    from distmerge.actors import Member, RayModels, Roster
    from distmerge.methods.adamerging import AdaMerging
    from distmerge.methods.adamerging.stage import build
    from distmerge.methods.contract import MergedModel, Scope
    from distmerge.models import Head, Tower, tower_shapes
    from distmerge.taskvectors import Layout, TaskVectors

    tasks = tuple(f"task{number}" for number in range(models))
    layout = Layout.of({name: torch.Size([1]) for name in tower_shapes(VIT_B_32)})
    count = layout.num_parameters
    vectors = TaskVectors(tasks, layout, torch.zeros(count), torch.zeros(models, count))
    workers = min(nodes, models)
    members = tuple(Member(actors[i % len(actors)], tasks[i::workers]) for i in range(workers))
    port = RayModels(_bank(tasks), Roster(members), tasks, 120.0)
    width = SMALL.output_dim
    head = Head(torch.zeros(_CLASSES, width), torch.zeros(_CLASSES), torch.zeros(width))
    model = MergedModel.pretrained(Tower(SMALL), vectors, dict.fromkeys(tasks, head))
    scope = Scope(port, {}, lambda *_: torch.zeros(0), lambda *_: 0.0, 0)
    hyper = AdaMerging(steps=steps, batch_size=IMAGES, batches=1)
    (problem,) = build(hyper, model, scope).problems
    return problem, problem.parameters[0]


def _bank(tasks: tuple[str, ...]) -> Any:
    """Give a feature bank with all the keys of a study, and the facts that a step asks for."""
    import ray

    from distmerge.actors import FeatureBank
    from distmerge.coordinator import FeatureBlock, feature_keys
    from distmerge.methods.contract import PRETRAINED
    from distmerge.tasks import ROLES

    named = {task: task for task in tasks}
    images = {(task, role): f"{task} {role}" for task in tasks for role in ROLES}
    keys = feature_keys("tower", {**named, PRETRAINED: "base"}, named, images)
    shapes = ((64, 0, 16), (64, 16), (64, _CLASSES), (64,))
    block = ray.put(FeatureBlock(*(np.zeros(shape, np.float32) for shape in shapes)))
    return FeatureBank({key: [block] for key in keys}, 60.0)
