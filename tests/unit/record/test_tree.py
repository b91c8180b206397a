"""The frontier arithmetic agrees with the tree as RFC 6962 defines it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.record.tree import leaf_hash, newest_root, next_path, node_hash


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (RFC 6962, 2.1)."""
    return 1 << (size - 1).bit_length() - 1


def _root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    left = _split(len(leaves))
    return hashlib.sha256(b"\x01" + _root(leaves[:left]) + _root(leaves[left:])).digest()


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    left = _split(len(leaves))
    if index < left:
        return [*_path(index, leaves[:left]), _root(leaves[left:])]
    return [*_path(index - left, leaves[left:]), _root(leaves[:left])]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70))
def test_paths_and_roots_are_those_of_the_naive_tree_at_every_size(leaves: list[bytes]) -> None:
    path: tuple[bytes, ...] = ()
    for index, leaf in enumerate(leaves):
        so_far = leaves[: index + 1]

        assert _path(index, so_far) == list(path)
        assert _root(so_far) == newest_root(path, leaf_hash(leaf))
        path = next_path(index, path, leaf_hash(leaf))


def test_leaves_and_nodes_are_hashed_apart() -> None:
    """RFC 6962: the prefixes keep a node from passing as a leaf."""
    assert hashlib.sha256(b"\x00ab").digest() == leaf_hash(b"ab")
    assert leaf_hash(b"ab") != node_hash(b"a", b"b")


def test_a_path_of_another_leaf_is_refused() -> None:
    with pytest.raises(ValueError, match="leaf 3 has a path of 2"):
        next_path(3, (b"",), b"")
