import re

import pytest

from distmerge.launch.kuberay import amount
from tests.launch.conftest import Checked
from tests.launch.files import KUBERAY

LIMITS = 'limits: {cpu: "7", memory: 28Gi, nvidia.com/gpu: "1"}'


@pytest.mark.parametrize("name", KUBERAY)
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("minReplicas: 1", "minReplica: 1"), r"'minReplica' was unexpected"),
        (("headGroupSpec:", "headGroup:"), r"'headGroupSpec' is a required property"),
        (("groupName: gpu1", "groupname: gpu1"), r"'groupname' was unexpected"),
        (("requests: {cpu:", "request: {cpu:"), r"'request' was unexpected"),
        (("memory: 16Gi", "memory: 16GiB"), r"'16GiB' does not match"),
        (("maxReplicas: 8", "maxReplicas: -1"), r"-1 is less than the minimum"),
        (('{num-cpus: "0"}', "{num-cpus: 0}"), r"0 is not of type 'string'"),
        (("name: distmerge", "name: Distmerge"), r"'Distmerge.*' does not match"),
        (("groupName: gpu8", "groupName: gpu1"), r"gpu1: several groups have this groupName"),
        (("minReplicas: 1", "minReplicas: 9"), r"gpu1: minReplicas 9 is over maxReplicas 8"),
        (("replicas: 1", "replicas: 9"), r"gpu1: replicas 9 is not from 1 to 8"),
        (
            ("28Gi, nvidia.com/gpu", "28Gi, amd.com/gpu"),
            r"gpu1: amd.com/gpu is no GPU that Ray counts",
        ),
        ((LIMITS, LIMITS.replace('"1"', '"2"')), r"gpu1: requests and limits of nvidia.com/gpu"),
        ((LIMITS, LIMITS.replace("28Gi", "8Gi")), r"gpu1: requests 28Gi of memory, over its limit"),
        ((LIMITS, "limits: {nvidia.com/gpu: '1'}"), r"gpu1: resources lack .* of cpu"),
        (('rayVersion: "2.60.0"', 'rayVersion: "2.9.0"'), r"rayVersion: 2\.9\.0; this environmen"),
        (("mode: token", "mode: disabled"), r"authOptions: no mode: token"),
        (("serviceType: ClusterIP", "serviceType: NodePort"), r"serviceType NodePort opens"),
        (("serviceType: ClusterIP", "enableIngress: true"), r"enableIngress opens the dashboard"),
        (('{num-cpus: "0"}', "{}"), r"head: rayStartParams has no num-cpus"),
        (("enableInTreeAutoscaling: true", "suspend: false"), r"enableInTreeAutoscaling: off"),
        (("mountPath: /dev/shm", "mountPath: /shm"), r"head: nothing mounted at /dev/shm"),
        (("runAsNonRoot: true", "privileged: true"), r"head: no securityContext.runAsNonRoot"),
        (("distmerge:0.1.0", "distmerge"), r"head.image: mine/distmerge moves"),
        (
            ("env: *cache", "env: [{name: RAY_AUTH_TOKEN, value: abc}]"),
            r"gpu1: a token in the manifest",
        ),
    ],
)
def test_a_mistake_is_found(
    name: str, edit: tuple[str, str], message: str, checked: Checked
) -> None:
    problems = checked(name, edit).problems
    assert problems
    assert any(re.search(message, problem) for problem in problems), problems


def test_a_host_network_is_found(checked: Checked) -> None:
    edit = ("  tolerations: &gpu", "  hostNetwork: true\n          tolerations: &gpu")
    (problem,) = checked("kuberay", edit).problems
    assert problem == "gpu1: hostNetwork opens Ray's ports on the machine"


def test_a_job_without_an_entrypoint_is_found(checked: Checked) -> None:
    (problem,) = checked("kuberay-job", ("  entrypoint: *entrypoint\n", "")).problems
    assert "'entrypoint' is a required property" in problem


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("2", 2.0), (4, 4.0), ("500m", 0.5), ("16Gi", 2.0**34), ("1k", 1e3), ("2Ki", 2048.0)],
)
def test_a_quantity_is_a_number(quantity: str | int, number: float) -> None:
    assert amount(quantity) == number


def test_the_group_says_what_ray_counts(checked: Checked) -> None:
    edit = ("rayStartParams: {}", 'rayStartParams: {num-cpus: "2"}\n      numOfHosts: 2')
    layout = checked("kuberay", edit).layout
    assert layout is not None
    gpu1 = layout.workers[0]
    assert (gpu1.resources, gpu1.smallest, gpu1.largest) == ({"CPU": 2, "GPU": 1}, 2, 16)
