"""The Merkle tree over the log, RFC 6962 section 2.1, reduced to what an append-only writer needs.

The inclusion path of the newest leaf holds the roots of all complete subtrees to its left: it is the frontier of the
tree before that leaf. So the newest event's path is enough to compute the next one's, and no index is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(line: bytes) -> bytes:
    """SHA-256(0x00 || line), 32 bytes."""
    return hashlib.sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def next_path(index: int, path: Sequence[bytes], leaf: bytes) -> tuple[bytes, ...]:
    """The path of leaf `index + 1` in the tree of `index + 2`, from leaf `index`, its path and its hash.

    Paths run from the leaf to the root. Raises ValueError where `path` cannot belong to `index`.
    """
    if len(path) != index.bit_count():
        raise ValueError(f"leaf {index} has a path of {index.bit_count()} hashes, not {len(path)}")
    complete = leaf
    merged = 0
    while index >> merged & 1:
        complete = node_hash(path[merged], complete)
        merged += 1
    return (complete, *path[merged:])


def newest_root(path: Sequence[bytes], leaf: bytes) -> bytes:
    """The root of the tree whose newest leaf has this hash and this path; every sibling stands left of it."""
    root = leaf
    for sibling in path:
        root = hashlib.sha256(b"\x01" + sibling + root).digest()  # node_hash, without ten calls of it for each event
    return root
