from distmerge.report.palette import COLOURS, looks

SERIES = tuple(f"m{i}" for i in range(10))


def test_ten_methods_look_different() -> None:
    assert len(set(looks(SERIES, SERIES).values())) == 10


def test_a_method_looks_the_same_whatever_else_is_shown() -> None:
    assert looks(SERIES, ["m3"])["m3"] == looks(SERIES, SERIES)["m3"]


def test_references_have_the_colour_of_the_text() -> None:
    found = looks(SERIES, ["individual", "pretrained"])
    assert {look.colour for look in found.values()} == {None}
    assert found["individual"].shape != found["pretrained"].shape


def test_colours_differ() -> None:
    assert len(set(COLOURS)) == len(COLOURS)
