import re

import pytest

from tests.launch.conftest import Checked

MISTAKES = [
    ("aws", ("max_workers: 10", "max_worker: 10"), r"Ray refuses it: \$: .*'max_worker'"),
    ("aws", ("head_node_type: head", "head_node_type: had"), r"Ray refuses it: .*head_node_type"),
    ("aws", ("CPU: 8,", "CPU: 0.5,"), r"Ray refuses it: .*0\.5"),
    ("onprem", ("worker_ips: *workers", "worker_ip: *workers"), r"Ray refuses it: .*worker_ips"),
    ("aws", ("cache_stopped_nodes:", "cache_stoped_nodes:"), r"mean cache_stopped_nodes\?"),
    ("gcp", ("project_id:", "projectid:"), r"provider.projectid: .*mean project_id\?"),
    ("aws", ("type: aws", "type: azure"), r"no check for azure; expected one of aws, gcp, local"),
    ("aws", ("min_workers: 1", "min_workers: 3"), r"gpu1_on_demand: min_workers 3 .* 2"),
    ("aws", ("max_workers: 8", "max_workers: 80"), r"gpu1_spot: max_workers 80 .* 10"),
    ("aws", ("max_workers: 0", "max_workers: 1"), r"head: max_workers of the head's kind must be"),
    (
        "gcp",
        ("machineType: n2-standard-8", "scheduling: {provisioningModel: SPOT}"),
        r"head: a spot head",
    ),
    ("aws", ("RAY_AUTH_MODE=token", "A=b"), r"head_start_ray_commands: no RAY_AUTH_MODE=token"),
    (
        "onprem",
        ("RAY_AUTH_TOKEN_PATH=~/.ray/cluster_token/auth_token", "RAY_AUTH_TOKEN=123"),
        r"head_start_ray_commands: a token in a command line",
    ),
    ("gcp", ("=127.0.0.1", "=0.0.0.0"), r"--dashboard-host=0.0.0.0 opens the dashboard"),
    ("aws", ("2.60.0-py311-cpu", "latest"), r"docker.image: .*:latest moves"),
    ("aws", ("ray:2.60.0-", "ray:2.9.0-"), r"docker.image: .* this environment has Ray 2\.60\.0"),
    ("aws", ("distmerge: distmerge", "distmerge: dismerge"), r"dismerge does not exist here"),
    ("onprem", ("~/key", "~/keys"), r"auth.ssh_private_key: ~/keys does not exist here"),
]


@pytest.mark.parametrize(("name", "edit", "message"), MISTAKES)
def test_a_mistake_is_found(
    name: str, edit: tuple[str, str], message: str, checked: Checked
) -> None:
    (problem,) = set(checked(name, edit).problems)
    assert re.search(message, problem, re.DOTALL)


def test_ray_has_no_nodes_where_it_refuses(checked: Checked) -> None:
    report = checked("aws", ("cluster_name:", "cluster_nam:"))
    assert (report.layout, report.price) == (None, None)


def test_a_preemptible_worker_is_a_spot_worker(checked: Checked) -> None:
    edit = ("{onHostMaintenance: TERMINATE}", "[{preemptible: true}]")
    layout = checked("gcp", edit).layout
    assert layout is not None
    assert {kind.name for kind in layout.workers if not kind.spot} == set()
