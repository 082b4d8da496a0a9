"""Manifests of the KubeRay operator: their fields, and what the API server lets pass."""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import yaml

from distmerge.errors import ConfigError, problem_list
from distmerge.launch.kinds import Layout, NodeKind
from distmerge.launch.ray_up import image_problems

Config = Mapping[str, Any]

_GPU = "nvidia.com/gpu"


def cluster_spec(config: Config) -> Config:
    """Give the description of the cluster in a RayCluster or a RayJob.

    Raises:
        ConfigError: lists the fields that KubeRay does not know, or lacks.
    """
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(_schema()).iter_errors(config)
    found = [f"{error.json_path.removeprefix('$.')}: {error.message}" for error in errors]
    if found:
        raise ConfigError(problem_list("KubeRay refuses it", sorted(found)))
    spec: Config = config["spec"]
    cluster: Config = spec["rayClusterSpec"] if config["kind"] == "RayJob" else spec
    return cluster


def layout(spec: Config) -> Layout:
    """Give the nodes that a cluster may start."""
    head = NodeKind("head", "", _offered(spec["headGroupSpec"]), 1, 1, head=True)
    workers = [
        NodeKind(
            name=group["groupName"],
            machine="",
            resources=_offered(group),
            smallest=group["minReplicas"] * group.get("numOfHosts", 1),
            largest=group["maxReplicas"] * group.get("numOfHosts", 1),
        )
        for group in spec["workerGroupSpecs"]
    ]
    return Layout("kuberay", [head, *workers], sum(kind.largest for kind in workers))


def problems(spec: Config) -> Iterator[str]:
    """Yield what is wrong with a cluster whose fields are KubeRay's."""
    from ray import __version__ as ray_version

    if spec.get("rayVersion") != ray_version:
        yield f"rayVersion: {spec.get('rayVersion')}; this environment has Ray {ray_version}"
    if (spec.get("authOptions") or {}).get("mode") != "token":
        yield "authOptions: no mode: token; without it whoever reaches a port runs code"
    yield from _head_problems(spec["headGroupSpec"])
    yield from _replica_problems(spec)
    groups = {"head": spec["headGroupSpec"]}
    groups |= {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    for name, group in groups.items():
        yield from _pod_problems(name, group["template"]["spec"], ray_version)


def _head_problems(head: Config) -> Iterator[str]:
    if head.get("serviceType", "ClusterIP") != "ClusterIP":
        yield f"head: serviceType {head['serviceType']} opens Ray's ports; expected ClusterIP"
    if head.get("enableIngress"):
        yield "head: enableIngress opens the dashboard; use kubectl port-forward"
    if (head.get("rayStartParams") or {}).get("num-cpus") != "0":
        yield 'head: rayStartParams has no num-cpus: "0"; trials would crowd the driver'


def _replica_problems(spec: Config) -> Iterator[str]:
    names = [group["groupName"] for group in spec["workerGroupSpecs"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: several groups have this groupName"
    for group in spec["workerGroupSpecs"]:
        name, low, high = group["groupName"], group["minReplicas"], group["maxReplicas"]
        if low > high:
            yield f"{name}: minReplicas {low} is over maxReplicas {high}"
        elif not low <= group.get("replicas", low) <= high:
            yield f"{name}: replicas {group['replicas']} is not from {low} to {high}"
    if not spec.get("enableInTreeAutoscaling"):
        yield "enableInTreeAutoscaling: off; nothing would start or end workers"


def _pod_problems(name: str, pod: Config, ray_version: str) -> Iterator[str]:
    container = pod["containers"][0]  # Ray runs in the first
    yield from image_problems(f"{name}.image", container["image"], ray_version)
    yield from _resource_problems(name, container.get("resources") or {})
    mounts = [mount["mountPath"] for mount in container.get("volumeMounts") or []]
    if "/dev/shm" not in mounts:  # noqa: S108  # the container's
        yield f"{name}: nothing mounted at /dev/shm; 64 MB of it would put objects on disk"
    if pod.get("hostNetwork"):
        yield f"{name}: hostNetwork opens Ray's ports on the machine"
    if not (container.get("securityContext") or {}).get("runAsNonRoot"):
        yield f"{name}: no securityContext.runAsNonRoot: true"
    for variable in container.get("env") or []:
        if variable["name"] == "RAY_AUTH_TOKEN" and "value" in variable:
            yield f"{name}: a token in the manifest; authOptions makes a Secret"


def _resource_problems(name: str, resources: Config) -> Iterator[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for kind in ("cpu", "memory"):
        if kind not in requests or kind not in limits:
            yield f"{name}: resources lack requests or limits of {kind}; Ray goes by the limits"
    if str(requests.get(_GPU, 0)) != str(limits.get(_GPU, 0)):
        yield f"{name}: requests and limits of {_GPU} must be the same"
    for kind in sorted(requests.keys() & limits.keys()):
        if amount(requests[kind]) > amount(limits[kind]):
            yield f"{name}: requests {requests[kind]} of {kind}, over its limit {limits[kind]}"
    for kind in chain(requests, limits):
        if kind == "gpu" or (kind.endswith("/gpu") and kind != _GPU):
            yield f"{name}: {kind} is no GPU that Ray counts; expected {_GPU}"


def amount(quantity: object) -> float:
    """Give a Kubernetes quantity as a number: 500m is 0.5, 16Gi is 2**34."""
    text = str(quantity)
    digits = text.rstrip("mkKMGTPEi")
    suffix = text[len(digits) :].replace("K", "k")
    if suffix == "m":
        return float(digits) / 1000
    power = "kMGTPE".index(suffix[0]) + 1 if suffix else 0
    unit: float = 1024.0 if suffix.endswith("i") else 1000.0
    return float(digits) * unit**power


def _offered(group: Config) -> dict[str, float]:
    """Give what Ray counts on a node: what the group says, else its first container's limits."""
    limits = (group["template"]["spec"]["containers"][0].get("resources") or {}).get("limits") or {}
    start, own = group.get("rayStartParams") or {}, group.get("resources") or {}
    cpus = own.get("CPU", start.get("num-cpus", math.ceil(amount(limits.get("cpu", 0)))))
    gpus = own.get("GPU", start.get("num-gpus", limits.get(_GPU, 0)))
    return {"CPU": float(cpus)} | ({"GPU": float(gpus)} if float(gpus) else {})


@cache
def _schema() -> Mapping[str, Any]:
    text = files(__package__).joinpath("kuberay.schema.yaml").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = yaml.safe_load(text)
    return schema
