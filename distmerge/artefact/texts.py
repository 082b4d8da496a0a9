"""Texts as a tower's input, cut into tokens as a study cuts its texts."""

from torch import Tensor

from distmerge.artefact.pictures import Picture, Unreadable
from distmerge.spec import Tokens
from distmerge.tasks import UNDECODABLE, Rows, model_input


def text_input(text: Picture, rows: Rows, tokens: Tokens) -> Tensor | Unreadable:
    """Give a text as a tower reads it, or why it cannot be read."""
    if not isinstance(text, str):
        return Unreadable(f"got {type(text).__name__}, expected a text")
    try:
        return model_input(rows.made(text)[None], tokens)[0]
    except UNDECODABLE as error:
        return Unreadable(str(error))
