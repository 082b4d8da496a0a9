"""Which role an image belongs to: its pixels decide, so order and duplicates do not matter."""

from collections.abc import Mapping, Sequence

ROLE_ORDER = ("adapt", "select", "report")


def role_of(content: bytes, shares: Mapping[str, float]) -> str:
    """Give the role of an image by its content hash; equal images get one role.

    Args:
        content: a hash of the pixels, uniformly distributed.
        shares: of each role, with a sum of one.
    """
    place = int.from_bytes(content[:8]) / 2**64
    roles = list(shares)
    edge = 0.0
    for role in roles[:-1]:
        edge += shares[role]
        if place < edge:
            return role
    return roles[-1]


def without_shared(roles: Mapping[str, Sequence[bytes]]) -> dict[str, list[int]]:
    """Give per role the indices of images that no later role has: report images stay whole."""
    kept: dict[str, list[int]] = {}
    later: set[bytes] = set()
    for role in reversed(ROLE_ORDER):
        hashes = roles.get(role, ())
        kept[role] = [index for index, content in enumerate(hashes) if content not in later]
        later |= set(hashes)
    return kept
