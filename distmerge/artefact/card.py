"""The model card: what the model is, how well it works, how to use it."""

import textwrap
from collections.abc import Iterable, Mapping

from distmerge.artefact.description import MODEL, Description
from distmerge.artefact.plain import code_block, plain_use
from distmerge.spec import TextTower

_WIDTH = 100
# Nobody but the user knows the licence: it follows from the base, the checkpoints and the data.
_FRONT_MATTER = """---
license: # to be filled in
library_name: distmerge
tags: [model-merging]
---
"""
_PROTOCOLS = {
    "disjoint": "Adapted on images of its own, without labels; measured on others.",
    "transductive": "Adapted on the very report images it was measured on, without their labels.",
}
_CLOSED = (
    "Every image is given one of a task's classes, whatever it shows; images of other tasks were "
    "not measured, or only as the column unseen says."
)
_PICTURES = (
    "Pictures are decoded as a study decodes image files: upright, in RGB without alpha, "
    "{resized}. Images that a study takes as npy arrays are resized to a square without a cut, by "
    "the tower's preprocessing."
)
_RESIZED = {
    "shortest": "the shorter side resized, the centre cut out",
    "squash": "resized to a square without a cut",
}
_LIMITS = ("One run with one seed: another seed gives other numbers.",)
_TEXTS = (
    (
        "Every text is given one of a task's classes, whatever it says; texts of other tasks were "
        "not measured, or only as the column unseen says."
    ),
    "Texts are cut to {length} tokens; what comes after them is not read.",
)
_ROUTED_LIMITS = (
    "All task vectors are held in memory, and a forward pass costs more than one tower's.",
)


def model_card(description: Description, sizes: Mapping[str, int]) -> str:
    """Give the text of the card.

    Args:
        description: the model.
        sizes: bytes of the folder's other files, by name.
    """
    kind = "text encoder" if isinstance(description.tower, TextTower) else "image tower"
    parts = (
        _FRONT_MATTER,
        f"# {len(description.tasks)} tasks in one {kind}: {description.method}\n",
        f"{_origin(description)}\n",
        f"## Accuracy\n\n{_accuracies(description)}\n\n{_protocol(description)}\n",
        f"## Use\n\nIn this folder, with distmerge installed:\n\n{_usage(description)}\n",
        f"{_plain_text(description)}\n\n{plain_use(description.tower)}\n",
        f"## Files\n\n{_files(description, sizes)}\n",
        f"## How it was made\n\n{_made(description)}\n",
        f"## Limits\n\n{_limits(description)}\n",
    )
    return "\n".join(parts)


def _origin(description: Description) -> str:
    kind = "routed" if description.routed else "merged"
    text = (
        f"A {kind} model of {len(description.tasks)} fine-tuned {description.tower.backbone} "
        f"towers, made by distmerge {description.package_version} (study {description.study}, "
        f"run {description.run_id})."
    )
    return textwrap.fill(text, _WIDTH)


def _accuracies(description: Description) -> str:
    columns = list(description.accuracy)
    rows = [
        [
            task,
            str(len(description.classes[task])) if task in description.classes else "",
            *(_percent(description.accuracy[column].get(task)) for column in columns),
        ]
        for task in dict.fromkeys(t for by_task in description.accuracy.values() for t in by_task)
    ]
    return _table(["task", "classes", *columns], rows)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _protocol(description: Description) -> str:
    text = (
        "Percent of the report images. L1 to L3: the same images corrupted, L3 worst; individual: "
        "each task's own fine-tuned model, on clean images."
    )
    if isinstance(description.tower, TextTower):
        text = "Percent of the report texts. individual: each task's own fine-tuned model."
    if description.routed:
        text += (
            " task withheld: the task is right only if the router names it; the other columns use "
            "the right task's head."
        )
    protocol = _PROTOCOLS.get(description.protocol, "")
    if isinstance(description.tower, TextTower):
        protocol = protocol.replace("images", "texts")
    return textwrap.fill(f"{text} {protocol}", _WIDTH)


def _usage(description: Description) -> str:
    task = description.tasks[0]
    sample = "a text" if isinstance(description.tower, TextTower) else "photo.png"
    lines = [
        "import distmerge",
        "",
        'model = distmerge.load(".")',
        "print(model.tasks)",
        f'for answer in model.predict(["{sample}"], task="{task}"):',
        "    print(answer.label, answer.probability)",
    ]
    if description.routed:
        lines += [
            f'for answer in model.predict(["{sample}"]):  # the model finds the task',
            "    print(answer.task, answer.weight, answer.label, answer.probability)",
        ]
    lines += [
        f'logits = model.logits(["{sample}"], task="{task}")',
        f'features = model.features(["{sample}"])',
    ]
    argument = f"'{sample}'" if " " in sample else sample
    command = f"distmerge predict . {argument}" + ("" if description.routed else f" --task {task}")
    return f"{code_block(lines)}\n\nor `{command}`.\n"


def _plain_text(description: Description) -> str:
    what = "the base, to which the router adds" if description.routed else "the merged tower"
    library = "transformers" if isinstance(description.tower, TextTower) else "open_clip"
    return f"With {library} alone, `{MODEL}` is {what}; heads and other parts are not in it:"


def _files(description: Description, sizes: Mapping[str, int]) -> str:
    rows = [
        [f"`{name}`", f"{sizes[name] / 1e6:,.2f}", what]
        for name, what in description.files.items()
        if name in sizes
    ]
    return _table(["file", "MB", "what it holds"], rows)


def _made(description: Description) -> str:
    settings = [[f"`{key}`", str(value)] for key, value in description.hyper.items()]
    checkpoints = [[task, f"`{d}`"] for task, d in description.checkpoint_digests.items()]
    return (
        f"Stages: {', '.join(description.method.split('+'))}. Seed {description.seed}, protocol "
        f"{description.protocol}, torch {description.torch_version}.\n\n"
        + (_table(["setting", "value"], settings) + "\n\n" if settings else "")
        + _table(
            ["checkpoint", "SHA-256, 16 digits"],
            [["(base)", f"`{description.base_digest}`"], *checkpoints],
        )
    )


def _limits(description: Description) -> str:
    tower = description.tower
    if isinstance(tower, TextTower):
        samples = (_TEXTS[0], _TEXTS[1].format(length=tower.preprocess.length))
    else:
        samples = (_CLOSED, _PICTURES.format(resized=_RESIZED[tower.preprocess.resize]))
    limits = _LIMITS + samples + (_ROUTED_LIMITS if description.routed else ())
    lines = (textwrap.fill(f"- {limit}", _WIDTH, subsequent_indent="  ") for limit in limits)
    return "\n".join(lines)


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(titles)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
