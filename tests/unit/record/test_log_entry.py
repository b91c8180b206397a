from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.events import parse as content_of
from pytest_deploy.record.log_entry import (
    Checkpoint,
    leaf_hash,
    newest_root,
    next_path,
    node_hash,
    parse,
    parse_anchor,
    parse_checkpoint,
)
from tests.unit.record.sample_record import open_log


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Object 6 of a log: its path has two hashes."""
    home = tmp_path_factory.mktemp("log")
    log = open_log(home)
    for number in range(6):
        log.append(content_of("alert.raised", {"alert": "test", "detail": str(number)}), run="-", actor="system:test")
    return (home / "reports/local/log/00000006.event").read_bytes()


def test_an_object_is_the_line_and_its_proof(stored: bytes) -> None:
    line, magic, index, first, second, empty, origin, size, root, gap, signature, end = stored.decode().split("\n")
    entry = parse(stored)

    assert (magic, index, empty, gap, end) == ("c2sp.org/tlog-proof@v1", "index 6", "", "", "")
    assert (origin, size) == ("deploy.example.org/local", "7")
    assert len(first) == len(second) == len(root) == 44
    assert signature.startswith("— deploy.example.org/local ")
    assert line.encode() + b"\n" == entry.line
    assert entry.root == entry.signed.checkpoint.root


@given(data=st.data())
def test_no_byte_of_an_object_changes_unseen(stored: bytes, data: st.DataObject) -> None:
    """It is refused, or what was read differs from what was written: nothing between the fields is loose."""
    place = data.draw(st.integers(0, len(stored) - 1))
    flipped = stored[:place] + bytes([stored[place] ^ data.draw(st.integers(1, 255))]) + stored[place + 1 :]
    try:
        read = parse(flipped)
    except IllegalEvent:
        return

    assert read != parse(stored)


@pytest.mark.parametrize(
    "change", [b"index 6\n", b"c2sp.org/tlog-proof@v1\n", b"\n\n", b"deploy.example.org/local\n7\n"]
)
def test_a_missing_part_is_refused(stored: bytes, change: bytes) -> None:
    with pytest.raises(IllegalEvent, match="proof"):
        parse(stored.replace(change, b"", 1))


def test_a_proof_of_another_position_is_refused(stored: bytes) -> None:
    with pytest.raises(IllegalEvent, match="the event is 6"):
        parse(stored.replace(b"index 6\n", b"index 5\n"))


def test_a_line_after_the_signature_is_refused(stored: bytes) -> None:
    with pytest.raises(IllegalEvent, match="damaged"):
        parse(stored + b"more\n")


def test_a_signed_checkpoint_reads_back(stored: bytes) -> None:
    signed = parse(stored).signed

    assert signed == parse_checkpoint(signed.text)
    with pytest.raises(ValueError, match="form"):
        parse_checkpoint(signed.text.replace("\n7\n", "\n07\n"))
    with pytest.raises(ValueError, match="key id"):
        parse_checkpoint(signed.text[:-9] + "\n")


def test_an_anchor_line_reads_back_and_is_short_enough_for_a_status() -> None:
    checkpoint = Checkpoint("deploy.example.org/rehearsal/production", 1_000_000, b"\x07" * 32)

    assert checkpoint == parse_anchor(checkpoint.anchor)
    assert len(checkpoint.anchor) <= 140


@pytest.mark.parametrize(
    "line", ["", "tlog a 1", "tlog a x y", "log a 1 QUJD", "tlog a 01 QUJD", "tlog a 1 QUJD extra"]
)
def test_any_other_line_is_no_anchor(line: str) -> None:
    with pytest.raises(ValueError, match="is no anchor"):
        parse_anchor(line)


def test_the_fixture_is_on_disk(tmp_path: Path) -> None:
    """An object read from a fresh store parses: the writer and the parser agree."""
    open_log(tmp_path)

    assert parse((tmp_path / "reports/local/log/00000000.event").read_bytes()).event.type == "key.enrolled"


# --- The frontier arithmetic agrees with the tree as RFC 6962 defines it.


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
