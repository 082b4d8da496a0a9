import pytest

from distmerge.launch.kinds import close_to, unchanged


def test_a_value_behind_aliases_is_named_once_where_it_stands_first() -> None:
    config = {"top": {"a": "CHANGE-a"}, "below": ["fine", "x/CHANGE-b", "CHANGE-a", 3, None]}
    assert list(unchanged(config)) == [
        "top.a: 'CHANGE-a' is still to be changed",
        "below[1]: 'x/CHANGE-b' is still to be changed",
    ]


@pytest.mark.parametrize(
    ("name", "hint"), [("regoin", "did you mean region?"), ("xyz", "expected one of region, zone")]
)
def test_a_hint_is_the_closest_name_or_all(name: str, hint: str) -> None:
    assert close_to(name, {"zone", "region"}) == hint
