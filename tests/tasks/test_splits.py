import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmerge.tasks.splits import role_of, without_shared

SHARES = {"adapt": 0.6, "select": 0.1, "report": 0.3}
CONTENTS = [hashlib.sha256(str(number).encode()).digest() for number in range(40_000)]


@pytest.mark.parametrize("role", SHARES)
def test_roles_get_about_their_shares(role: str) -> None:
    found = [role_of(content, SHARES) for content in CONTENTS]
    assert found.count(role) / len(found) == pytest.approx(SHARES[role], abs=0.01)


@pytest.mark.parametrize("content", [b"\x00" * 32, b"\xff" * 32])
def test_the_ends_of_the_range_have_a_role(content: bytes) -> None:
    assert role_of(content, SHARES) == ("adapt" if content[0] == 0 else "report")


def test_one_role_gets_everything() -> None:
    assert {role_of(content, {"select": 1.0}) for content in CONTENTS} == {"select"}


images = st.lists(st.binary(min_size=1, max_size=1), max_size=8)


@given(images, images, images)
def test_later_roles_keep_what_is_shared(
    adapt: list[bytes], select: list[bytes], report: list[bytes]
) -> None:
    roles = {"adapt": adapt, "select": select, "report": report}
    kept = {
        role: [roles[role][i] for i in places] for role, places in without_shared(roles).items()
    }
    assert kept["report"] == report
    assert kept["select"] == [one for one in select if one not in report]
    assert kept["adapt"] == [one for one in adapt if one not in {*select, *report}]
