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

import base64
from dataclasses import dataclass

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.record.key import LogKey, Signer
from pytest_deploy.record.tree import leaf_hash, newest_root, next_path

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
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @property
    def anchor(self) -> str:
        """The line that goes outside: `tlog <origin> <size> <root>`."""
        return f"tlog {self.origin} {self.size} {_base64(self.root)}"


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
        return f"{self.checkpoint.text}\n— {self.checkpoint.origin} {_base64(self.key_id + self.signature)}\n"

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

    @property
    def root(self) -> bytes:
        """The root that line and path lead to."""
        return newest_root(self.path, leaf_hash(self.line))

    @property
    def path_after(self) -> tuple[bytes, ...]:
        """The path of whatever event comes next."""
        return next_path(self.event.seq, self.path, leaf_hash(self.line))


def name(seq: int) -> str:
    """The object's name in a store: `log/00000006.event`."""
    return f"log/{seq:08d}.event"


def build(event: Event, path: tuple[bytes, ...], origin: str, signer: Signer) -> tuple[Entry, bytes]:
    """Sign an event in its place in the tree; returns it with the object's bytes. Raises IllegalEvent as Event.line."""
    line = event.line()
    checkpoint = Checkpoint(origin, event.seq + 1, newest_root(path, leaf_hash(line)))
    key = LogKey(origin, signer.public)
    signed = SignedCheckpoint(checkpoint, key.id, signer.sign(checkpoint.text.encode()))
    entry = Entry(parse_line(line), line, path, signed)
    return entry, _render(event.seq, line, path, signed)


def parse(data: bytes) -> Entry:
    """The entry of an object's bytes. Raises IllegalEvent for any byte that `build` would not have written."""
    line, newline, proof = data.partition(b"\n")
    line += newline
    event = parse_line(line)
    try:
        head, _, note = proof.decode("utf-8").partition("\n\n")
        magic, index, *path = head.split("\n")
        hashes = tuple(base64.b64decode(text) for text in path)
        signed = _parse_note(note)
        again = _render(int(index.removeprefix("index ")), line, hashes, signed)
    except ValueError as error:
        raise IllegalEvent(_DAMAGED) from error
    if again != data or magic != _PROOF or any(len(item) != _HASH_BYTES for item in hashes):
        raise IllegalEvent(_DAMAGED)
    if index != f"index {event.seq}":
        raise IllegalEvent(f"the proof is of {index}, the event is {event.seq}")
    return Entry(event, line, hashes, signed)


def parse_checkpoint(text: str) -> SignedCheckpoint:
    """A signed checkpoint's text. Raises ValueError for anything that would not be written so."""
    signed = _parse_note(text)
    if signed.text != text:
        raise ValueError("not the form of a signed checkpoint")
    return signed


def parse_anchor(line: str) -> Checkpoint:
    """The checkpoint of a line `tlog <origin> <size> <root>`. Raises ValueError for any other form."""
    try:
        _, origin, size, root = line.split(" ")
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root))
    except ValueError:
        checkpoint = None
    if checkpoint is None or checkpoint.anchor != line or len(checkpoint.root) != _HASH_BYTES or checkpoint.size < 1:
        raise ValueError(f"{line!r} is no anchor: tlog <origin> <size> <root> is")
    return checkpoint


def _parse_note(note: str) -> SignedCheckpoint:
    """Read a signed note loosely; the caller compares what it would write."""
    origin, size, root, _, signature = note.removesuffix("\n").split("\n")
    blob = base64.b64decode(signature.rpartition(" ")[2])
    if len(blob) != _KEY_ID_BYTES + _SIGNATURE_BYTES:
        raise ValueError("a signature has 4 bytes of key id and 64 of Ed25519")
    checkpoint = Checkpoint(origin, int(size), base64.b64decode(root))
    return SignedCheckpoint(checkpoint, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def _render(index: int, line: bytes, path: tuple[bytes, ...], signed: SignedCheckpoint) -> bytes:
    proof = "".join([f"{_PROOF}\nindex {index}\n", *(f"{_base64(item)}\n" for item in path), "\n"])
    return line + proof.encode() + signed.text.encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
