"""The places of a pickle's memory, checked before anything is read into them."""

import pickle
import pickletools
from typing import Any

_STORING = {"PUT", "BINPUT", "LONG_BINPUT"}


def check_places(file: Any) -> None:
    """Check the pickle that begins here in an open file, and go back to where it begins.

    Python makes room for all places up to the highest that is named. Writers count on from 0, so
    no place is above the number of bytes before it.

    Raises:
        UnpicklingError: a place is above that.
        ValueError: what is here is no pickle.
    """
    start = file.tell()
    for instruction, place, position in pickletools.genops(file):
        if instruction.name in _STORING:
            assert position is not None
            before = position - start
            if int(str(place)) > before:
                raise pickle.UnpicklingError(f"memory place {place} after {before} bytes")
    file.seek(start)
