"""Numbers as other programs take them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def finite(content: Any) -> Any:
    """Give JSON-like content in which what is no finite number is None."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [finite(value) for value in content]
    return content
