import re

import pytest

from tests.launch.conftest import Checked


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("machineType: g2", "machinetype: g2"), r"machinetype: unknown; did you mean machineType"),
        (("diskSizeGb: 150", "diskSizeGB: 150"), r"diskSizeGB: unknown; did you mean diskSizeGb"),
        (("diskSizeGb: 150", "diskSizeGb: big"), r"diskSizeGb: got 'big'; expected a string"),
        (("autoDelete: true", "autoDelete: 1"), r"autoDelete: got 1; expected a boolean"),
        (("type: PERSISTENT", "type: PERSISTANT"), r"'PERSISTANT' .* mean PERSISTENT\?"),
        (("provisioningModel: SPOT", "provisioningModel: spot"), r"provisioningModel: 'spot' is"),
        (("[{email: *worker_account, scopes: *scopes}]", "mine"), r"got 'mine'; expected a list"),
        (("{onHostMaintenance: TERMINATE}", "mine"), r"got 'mine'; expected keys and values"),
        (("projects/mine", "projects/p/global/images/family/cpu"), r"family/cpu moves"),
        (("networkInterfaces:", "netwerkInterfaces:"), r"no networkInterfaces; Ray would take"),
    ],
)
def test_a_mistake_in_node_config_is_found(
    edit: tuple[str, str], message: str, checked: Checked
) -> None:
    problems = checked("gcp", edit).problems
    assert problems
    assert any(re.search(message, problem) for problem in problems), problems


def test_a_head_without_an_account_of_its_own_is_found(checked: Checked) -> None:
    (problem,) = checked(
        "gcp",
        ("serviceAccounts: # without", "labels: {a: b} # without"),
        ("        - email: *head_account\n          scopes: &scopes", "      x: &scopes"),
        ("      x: &scopes [https://www.googleapis.com/auth/cloud-platform]\n", ""),
        ("scopes: *scopes", "scopes: [all]"),
    ).problems
    assert "head.node_config: no serviceAccounts" in problem


def test_ray_takes_a_list_of_one_and_a_template(checked: Checked) -> None:
    edit = ("{onHostMaintenance: TERMINATE}", "[{onHostMaintenance: TERMINATE}]")
    template = ("machineType: n2-standard-8", "sourceInstanceTemplate: mine")
    assert checked("gcp", edit, template).problems == []
