import re

import pytest

from tests.launch.conftest import Checked

NODE = "InstanceType: m7i.2xlarge"
RULE = "cache_stopped_nodes: false\n  security_group: {GroupName: g, IpPermissions: [%s]}"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("InstanceType: g6.2x", "InstanceTyp: g6.2x"), r'"InstanceTyp"; did you mean InstanceTy'),
        (("g6.2xlarge", "g6.2xlarg"), r"InstanceType: 'g6.2xlarg' is unknown; did you mean g6.2xl"),
        (("MarketType: spot", "MarketType: spott"), r"MarketType: 'spott' .* mean spot\?"),
        (("SpotOptions: {", "SpotOptions: {MaxPrice: 0.3, "), r"SpotOptions.MaxPrice, value: 0.3"),
        (("VolumeSize: 150", "VolumeSize: big"), r"VolumeSize, value: big"),
        (("ImageId: *image", "KeyName: mine"), r"no ImageId"),
        (("SecurityGroupIds: [*security_group]", "EbsOptimized: true"), r"opens SSH to everyone"),
        ((f"{NODE}\n", f"{NODE}\n      BlockDeviceMapping: []\n"), r"mean BlockDeviceMappings\?"),
    ],
)
def test_a_mistake_in_node_config_is_found(
    edit: tuple[str, str], message: str, checked: Checked
) -> None:
    problems = checked("aws", edit).problems
    assert problems
    assert any(re.search(message, problem) for problem in problems), problems


def test_a_head_without_a_profile_of_its_own_is_found(checked: Checked) -> None:
    edit = ("IamInstanceProfile: *head_profile", "EbsOptimized: true")
    (problem,) = checked("aws", edit).problems
    assert "head.node_config: no IamInstanceProfile" in problem


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "{FromPort: 22, ToPort: 22, IpRanges: [{CidrIp: 0.0.0.0/0}]}",
            r"opens ports 22-22 to eve",
        ),
        ("{FromPort: 0, ToPort: 9, Ipv6Ranges: [{CidrIpv6: '::/0'}]}", r"opens ports 0-9 to every"),
        ("{FromPort: 8265, ToPort: 8265, IpRanges: [{CidrIp: 10.0.0.0/8}]}", r"SSH \(22\) is enou"),
        ("{IpProtocol: '-1', IpRanges: [{CidrIp: 1.2.3.4/32}]}", r"opens ports all-all to 1\.2\.3"),
    ],
)
def test_an_open_port_is_found(rule: str, message: str, checked: Checked) -> None:
    (problem,) = checked("aws", ("cache_stopped_nodes: false", RULE % rule)).problems
    assert re.search(message, problem)


def test_ssh_from_one_address_is_no_open_port(checked: Checked) -> None:
    rule = "{FromPort: 22, ToPort: 22, IpProtocol: tcp, IpRanges: [{CidrIp: 203.0.113.7/32}]}"
    assert checked("aws", ("cache_stopped_nodes: false", RULE % rule)).problems == []
