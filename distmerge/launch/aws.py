"""What ``ray up`` on AWS lets pass, found with the service model that botocore ships."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from distmerge.errors import ConfigError
from distmerge.launch.kinds import close_to

Config = Mapping[str, Any]

_OPEN = {"0.0.0.0/0", "::/0"}  # looked for, not listened on


def problems(config: Config) -> Iterator[str]:
    """Yield what EC2 would refuse, and what Ray would open to the world.

    Raises:
        ConfigError: botocore is not installed.
    """
    for name, kind in config["available_node_types"].items():
        place, node = f"available_node_types.{name}.node_config", kind["node_config"]
        yield from _shape_problems(place, node)
        if "ImageId" not in node:
            yield f"{place}: no ImageId; Ray would take an old one of its own"
        if "SecurityGroupIds" not in node and "NetworkInterfaces" not in node:
            yield f"{place}: no SecurityGroupIds; Ray would make a group that opens SSH to everyone"
        if name == config["head_node_type"] and "IamInstanceProfile" not in node:
            yield f"{place}: no IamInstanceProfile; Ray would make one with all of EC2 and S3"
    yield from _rules_problems(config["provider"].get("security_group") or {})


def _shape_problems(place: str, node: Config) -> Iterator[str]:
    shape = _input("RunInstances")
    given = {key: value for key, value in node.items() if key != "SubnetIds"}  # Ray picks one
    yield from _type_problems(place, {**given, "MinCount": 1, "MaxCount": 1}, shape)
    yield from _enum_problems(place, given, shape)


def _type_problems(place: str, value: Any, shape: Any) -> Iterator[str]:  # as botocore
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(value, shape)
    for error in report.generate_report().splitlines() if report.has_errors() else ():
        yield f"{place}: {_short(error)}"


def _short(error: str) -> str:
    """Give botocore's message, with one name as a hint in place of all."""
    head, found, names = error.partition(", must be one of: ")
    unknown = head.split('"')[-2] if found else ""
    return f"{head}; {close_to(unknown, names.split(', '))}" if found else error


def _enum_problems(place: str, value: Any, shape: Any) -> Iterator[str]:  # as botocore
    if shape.type_name == "structure" and isinstance(value, Mapping):
        for key in sorted(value.keys() & shape.members.keys()):
            yield from _enum_problems(f"{place}.{key}", value[key], shape.members[key])
    elif shape.type_name == "list" and isinstance(value, list):
        for i, item in enumerate(value):
            yield from _enum_problems(f"{place}[{i}]", item, shape.member)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{place}: {value!r} is unknown; {close_to(str(value), shape.enum)}"


def _rules_problems(group: Config) -> Iterator[str]:
    place, rules = "provider.security_group.IpPermissions", group.get("IpPermissions") or []
    wrong = list(
        _type_problems(
            place, rules, _input("AuthorizeSecurityGroupIngress").members["IpPermissions"]
        )
    )
    yield from wrong
    for i, rule in enumerate([] if wrong else rules):
        yield from _rule_problems(f"{place}[{i}]", rule)


def _rule_problems(place: str, rule: Config) -> Iterator[str]:
    ranges = [r.get("CidrIp") for r in rule.get("IpRanges") or []]
    ranges += [r.get("CidrIpv6") for r in rule.get("Ipv6Ranges") or []]
    ports = f"ports {rule.get('FromPort', 'all')}-{rule.get('ToPort', 'all')}"
    if _OPEN & set(ranges):
        yield f"{place}: opens {ports} to everyone; name your own address"
    elif ranges and (rule.get("FromPort"), rule.get("ToPort")) != (22, 22):
        yield f"{place}: opens {ports} to {', '.join(map(str, ranges))}; SSH (22) is enough"


@cache
def _input(operation: str) -> Any:  # botocore is untyped
    try:
        from botocore.session import get_session
    except ImportError as error:
        raise ConfigError("a launch file for AWS needs: pip install 'distmerge[aws]'") from error
    return get_session().get_service_model("ec2").operation_model(operation).input_shape
