"""One object of the log: an event's line and its proof, `c2sp.org/tlog-proof@v1`.

    {"actor":…}                               the line; then the proof:
    c2sp.org/tlog-proof@v1
    index 6
    NUAGr+Zi…                                 inclusion path of leaf 6 in the tree of 7, leaf to root, base64
    Z5qkwXVh…

    deploy.example.org/production             the checkpoint: origin, size, root
    7
    sWqbSSDE…

    — deploy.example.org/production kd6Sgwhm… its signature (c2sp.org/signed-note)

Parsing accepts only bytes that writing gives back, so that no byte of an object can change unseen.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from pytest_deploy.errors import IllegalEvent, RecordTampered
from pytest_deploy.record.event import Event, line_hash, parse_line
from pytest_deploy.record.key import LogKey, Signer

_PROOF = "c2sp.org/tlog-proof@v1"
_DAMAGED = f"the proof after the event's line is damaged: not the form of {_PROOF}"
_HASH_BYTES = 32
_SIGNATURE_BYTES = 64
_KEY_ID_BYTES = 4


@dataclass(frozen=True)
class Checkpoint:
    """A statement of the log's key: at this size the tree had this root."""

    origin: str
    size: int
    root: bytes
    """32 bytes."""

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64_of(self.root)}\n"

    @property
    def anchor(self) -> str:
        """The line that goes outside: `tlog <origin> <size> <root>`."""
        return f"tlog {self.origin} {self.size} {base64_of(self.root)}"


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint with its one signature line."""

    checkpoint: Checkpoint
    key_id: bytes
    """4 bytes."""
    signature: bytes
    """64 bytes."""

    @property
    def text(self) -> str:
        """The signed note: checkpoint, empty line, signature line."""
        return f"{self.checkpoint.text}\n— {self.checkpoint.origin} {base64_of(self.key_id + self.signature)}\n"

    def signed_by(self, key: LogKey) -> bool:
        """Whether this key, under this origin, signed it."""
        return (
            self.checkpoint.origin == key.origin
            and self.key_id == key.id
            and key.verifies(self.signature, self.checkpoint.text.encode())
        )


@dataclass(frozen=True)
class Entry:
    """An event as it lies in the log."""

    event: Event
    line: bytes
    """The stored bytes of the event, with the newline."""
    path: tuple[bytes, ...]
    signed: SignedCheckpoint

    @cached_property
    def leaf(self) -> bytes:
        return leaf_hash(self.line)

    @property
    def root(self) -> bytes:
        """The root that line and path lead to."""
        return newest_root(self.path, self.leaf)

    @property
    def path_after(self) -> tuple[bytes, ...]:
        """The path of whatever event comes next."""
        return next_path(self.event.seq, self.path, self.leaf)


def name(seq: int) -> str:
    """The object's name in a store: `log/00000006.event`."""
    return f"log/{seq:08d}.event"


def count(is_there: Callable[[int], bool], known: int) -> int:
    """How many events a log has, of which `known` do exist: a few looks, however long it is."""
    low, step = known - 1, 1
    while is_there(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_there(middle) else (low, middle)
    return low + 1


def build(event: Event, path: tuple[bytes, ...], origin: str, signer: Signer) -> tuple[Entry, bytes]:
    """Sign an event in its place in the tree; returns it with the object's bytes. Raises IllegalEvent as Event.line."""
    line = event.line()
    checkpoint = Checkpoint(origin, event.seq + 1, newest_root(path, leaf_hash(line)))
    key = LogKey(origin, signer.public)
    signed = SignedCheckpoint(checkpoint, key.id, signer.sign(checkpoint.text.encode()))
    entry = Entry(parse_line(line), line, path, signed)
    proof = unsigned(event.seq, map(base64_of, path), origin, checkpoint.root)
    return entry, line + proof + f"{base64_of(key.id + signed.signature)}\n".encode()


def parse(data: bytes) -> Entry:
    """The entry of an object's bytes. Raises IllegalEvent for any byte that `build` would not have written."""
    end = data.find(b"\n") + 1 or len(data)
    line = data[:end]
    event = parse_line(line)
    try:
        head, _, note = data[end:].decode("utf-8").partition("\n\n")
        magic, index, *path = head.split("\n")
        hashes = tuple(map(_hash, path))
        signed = parse_checkpoint(note)
    except ValueError as error:
        raise IllegalEvent(_DAMAGED) from error
    if magic != _PROOF:
        raise IllegalEvent(_DAMAGED)
    if index != f"index {event.seq}":
        raise IllegalEvent(f"the proof is of {index}, the event is {event.seq}")
    return Entry(event, line, hashes, signed)


def parse_checkpoint(written: str | bytes) -> SignedCheckpoint:
    """A signed checkpoint's text, or the bytes of its file. Raises ValueError for anything that would not be written so."""
    try:
        text = written.decode() if isinstance(written, bytes) else written
        origin, size, root, _, signature = text.removesuffix("\n").split("\n")
        signed = signature.rpartition(" ")[2]
        blob = _bytes(signed)
        checkpoint = Checkpoint(origin, int(size), _bytes(root))
    except ValueError:
        raise ValueError(
            "not the form of a signed checkpoint: origin, size, root, an empty line, a signature"
        ) from None
    if len(blob) != _KEY_ID_BYTES + _SIGNATURE_BYTES:
        raise ValueError("a signature has 4 bytes of key id and 64 of Ed25519")
    if text != f"{origin}\n{checkpoint.size}\n{root}\n\n— {origin} {signed}\n":
        raise ValueError("not the form of a signed checkpoint")
    return SignedCheckpoint(checkpoint, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def parse_anchor(line: str) -> Checkpoint:
    """The checkpoint of a line `tlog <origin> <size> <root>`. Raises ValueError for any other form."""
    try:
        _, origin, size, root = line.split(" ")
        checkpoint = Checkpoint(origin, int(size), _hash(root))
    except ValueError:
        checkpoint = None
    if checkpoint is None or checkpoint.anchor != line or checkpoint.size < 1:
        raise ValueError(f"{line!r} is no anchor: tlog <origin> <size> <root> is")
    return checkpoint


def check_follows(before: Entry, after: Entry) -> None:
    """Hold an event against the one before it. Raises RecordTampered where it does not continue it."""
    place = name(after.event.seq)
    if after.event.prev != line_hash(before.line):
        raise RecordTampered(f"{place}: its prev is not the hash of the event before it")
    if after.path != before.path_after:
        raise RecordTampered(f"{place}: its inclusion path does not continue that of the event before it")


def check_signed(entry: Entry, key: LogKey) -> None:
    """Hold an event against the log's key. Raises RecordTampered where that key did not sign the tree it leads to."""
    checkpoint = entry.signed.checkpoint
    place = name(entry.event.seq)
    if checkpoint.size != entry.event.seq + 1 or checkpoint.root != entry.root:
        raise RecordTampered(f"{place}: its path does not lead to the root that was signed")
    if not entry.signed.signed_by(key):
        raise RecordTampered(
            f"{place} is not signed by this log's key ({key.vkey}); where the key was rotated, record.key of deploy.yaml "
            "or .deploy/keys still names the retired one"
        )


def unsigned(index: int, path: Iterable[str], origin: str, root: bytes) -> bytes:
    """What stands in the object of leaf `index` between its line and the base64 of its signature; `path` in base64."""
    hashes = "".join([f"{item}\n" for item in path])
    return f"{_PROOF}\nindex {index}\n{hashes}\n{origin}\n{index + 1}\n{base64_of(root)}\n\n— {origin} ".encode()


def is_signature(text: bytes) -> bool:
    """Whether an object may end so: base64 of a key's id and an Ed25519 signature, and a newline."""
    try:
        blob = _bytes(text[:-1].decode("ascii"))
    except ValueError:
        return False
    return text[-1:] == b"\n" and len(blob) == _KEY_ID_BYTES + _SIGNATURE_BYTES


def base64_of(data: bytes) -> str:
    """As a proof holds it: padded, without a line break."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _bytes(text: str) -> bytes:
    """What `base64_of` wrote. Raises ValueError for any text that it would not have written."""
    data = binascii.a2b_base64(text)
    if base64_of(data) != text:
        raise ValueError(f"{text!r} is no base64 of one form")
    return data


@lru_cache(maxsize=1024)
def _hash(text: str) -> bytes:
    """A hash of the tree. Most stand in the paths of many events, one after the other."""
    data = _bytes(text)
    if len(data) != _HASH_BYTES:
        raise ValueError(f"{text!r} is no hash of {_HASH_BYTES} bytes")
    return data


# --- The Merkle tree over the log, RFC 6962 section 2.1, reduced to what an append-only writer needs.
#
# The inclusion path of the newest leaf holds the roots of all complete subtrees to its left: it is the frontier of the
# tree before that leaf. So the newest event's path is enough to compute the next one's, and no index is kept.


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
