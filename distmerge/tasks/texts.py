"""From a text to the token numbers that a tower reads."""

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from distmerge.errors import DataError
from distmerge.spec import Tokens
from distmerge.tasks.decoding import Content, Rows


def token_rows(tokens: Tokens, beside: Path) -> Rows:
    """Give texts as token numbers, cut and padded to one length.

    Special tokens are those that the tokenizer's own post-processor adds.

    Args:
        tokens: names the tokenizer, if there is one.
        beside: the folder of the tower's description, in which the tokenizer lies.

    Raises:
        DataError: the tokenizer is missing or no tokenizer, or its library is not installed.
    """
    tokenizer, content = None, ""
    if tokens.tokenizer is not None:
        path = beside / tokens.tokenizer
        tokenizer = _tokenizer(path, tokens.length)
        content = sha256(path.read_bytes()).hexdigest()
    return Rows(
        "tokens",
        (tokens.length,),
        np.int32,
        partial(_row, tokens, tokenizer),
        ["tokens", tokens.length, tokens.padding, content],
    )


def _tokenizer(path: Path, length: int) -> Any:
    """Give a tokenizer that cuts texts to a length; tokenizers is untyped.

    Raises:
        DataError: it cannot be read, or its library is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise DataError("texts need tokenizers: pip install 'distmerge[text]'") from error
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot read the tokenizer ({error.strerror}); expected the tokenizer.json "
            "that AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER) writes"
        ) from error
    except Exception as error:  # tokenizers raises no class of its own
        raise DataError(f"{path}: not a file of Hugging Face's tokenizers ({error})") from error
    tokenizer.enable_truncation(length)
    tokenizer.no_padding()
    return tokenizer


def _row(tokens: Tokens, tokenizer: Any, content: Content) -> Int32[np.ndarray, " token"]:
    """Give the tokens of a text, or token numbers as they are.

    Raises:
        ValueError: it is neither, or too long, or there is no tokenizer.
    """
    if isinstance(content, str):
        if tokenizer is None:
            raise ValueError(
                "a text, and tower.json names no tokenizer: put tokenizer.json beside it and write "
                "preprocess.tokenizer: tokenizer.json"
            )
        numbers = np.array(tokenizer.encode(content).ids, np.int32)
    elif isinstance(content, np.ndarray) and content.ndim == 1 and content.dtype.kind in "iu":
        numbers = content
    else:
        raise ValueError("neither a text nor token numbers")
    if not 0 < len(numbers) <= tokens.length:
        raise ValueError(f"{len(numbers)} tokens, expected 1 to {tokens.length}")
    row = np.full(tokens.length, tokens.padding, np.int32)
    row[: len(numbers)] = numbers
    return row
