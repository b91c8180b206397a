"""A third party agrees: Go's golang.org/x/mod/sumdb reads our objects, computes the same roots, accepts our proofs and notes.

`peer/main.go` cuts the objects into parts; tree, inclusion, consistency and signed notes are that library's. It refuses
what is tampered with, and names the same event. It follows signed rosters too, from the text of docs/record-format.md and with
golang.org/x/crypto/ssh: a third reading beside our two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import FileSigner
from pytest_deploy.verify.verify import verify
from tests.unit.record.fido_token import FLAGS, Token
from tests.unit.record.sample_record import HandClock, open_log
from tests.unit.verify import trail_reviews
from tests.unit.verify.altered_record import forge, replace, rotate, swap
from tests.unit.verify.conftest import Record
from tests.unit.verify.insider import Insider
from tests.unit.verify.second_verifier import second_opinion
from tests.unit.verify.signed_rosters import (
    ADMINISTRATOR,
    SignedRosters,
    known_as,
    make_keys,
    named,
    renamed,
    replaced,
    unpledged,
)
from tests.unit.verify.third_verifier import Peer
from tests.unit.verify.trail_reviews import Reviews


def test_it_computes_the_same_root_and_accepts_every_proof(peer: Peer, record: Record) -> None:
    """Inclusion of each event in its own checkpoint, and consistency of each signed root with every one before it."""
    found = verify(record.store, signatures="all")

    assert found.ok
    assert (True, f"{found.size} {found.root}") == peer.says(record.store)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33])
def test_it_agrees_at_every_shape_of_the_tree(peer: Peer, tmp_path: Path, size: int) -> None:
    log = open_log(tmp_path, HandClock())
    for number in range(1, size):
        log.append(parse("alert.raised", {"alert": "a", "detail": f"{number} “quoted”"}), run="-", actor="system:test")
    _, _, said, root = log.checkpoint().split()

    assert f"{size}" == said
    assert (True, f"{size} {root}") == peer.says(tmp_path / "reports" / "local")


def test_it_follows_a_rotation_of_the_logs_key(peer: Peer, tmp_path: Path) -> None:
    store = rotate(open_log(tmp_path, HandClock()), tmp_path)

    assert peer.says(store)[0]


def at(record: Record, seq: int) -> Path:
    return record.store / entries.name(seq)


def flip_path(record: Record) -> None:
    """The first character of the first hash of event 6's inclusion path."""
    data = at(record, 6).read_bytes()
    respell(at(record, 6), data.index(b"index 6\n") + len(b"index 6\n"))


def respell(path: Path, offset: int) -> None:
    """Another character of base64's in the place of one, so that it is base64 still."""
    data = path.read_bytes()
    other = b"A" if data[offset : offset + 1] != b"A" else b"B"
    path.write_bytes(data[:offset] + other + data[offset + 1 :])


def insider(written: Record) -> FileSigner:
    return FileSigner.open(written.store.parents[1] / "keys" / "local.pem")


TAMPERED: dict[str, tuple[Callable[[Record, Record], object], int, str]] = {
    "an event edited": (lambda r, _: replace(at(r, 3), b'"steps":2', b'"steps":3'), 3, "inclusion: "),
    "two events swapped": (lambda r, _: swap(r), 5, "not the proof of index 5"),
    "a path altered": (lambda r, _: flip_path(r), 6, "inclusion: "),
    "a root altered": (lambda r, _: respell(at(r, 6), at(r, 6).read_bytes().rindex(b"\n\n") - 20), 6, "invalid signature"),
    "a signature altered": (lambda r, _: respell(at(r, 6), at(r, 6).stat().st_size - 40), 6, "invalid signature"),
    "an event forged by a stranger": (lambda r, _: forge(r, 6), 6, "note has no verifiable signatures"),
    "another event by the log's own key": (
        lambda r, w: forge(r, 6, insider(w), id="0" * 16), 7, "the root is ",
    ),
    "an event deleted": (lambda r, _: at(r, 6).rename(at(r, 999)), 6, "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERED)
def test_it_refuses_what_was_tampered_with_and_names_the_event(
    peer: Peer, record: Record, written: Record, kind: str
) -> None:
    tamper, seq, why = TAMPERED[kind]
    tamper(record, written)
    well, said = peer.says(record.store)

    assert not well
    assert said.startswith(f"{entries.name(seq)}: ")
    assert why in said
    assert not verify(record.store, signatures="all").ok


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return make_keys(tmp_path_factory.mktemp("people"))


def change(rosters: SignedRosters, *by: str, **says: Any) -> SignedRosters:
    """Tina gets another role, and these sign it."""
    return rosters.enrol("tina", "Tech Lead", "QA Lead").put_in_force(*by, **says)


def with_tinas_key(rosters: SignedRosters, other: str) -> SignedRosters:
    rosters.lines["eve"] = rosters.lines["tina"].replace("tina", other)
    return rosters


def late(rosters: SignedRosters, seconds: float) -> SignedRosters:
    rosters.clock.move(seconds)
    return rosters.approve()


FOLLOWING: dict[str, Callable[[SignedRosters], object]] = {
    "a change": lambda r: change(r, "ada", "ben").approve(),
    "a person, then their signature": lambda r: change(r.enrol("nina", ADMINISTRATOR).put_in_force("ben", "ada"), "nina", "ada"),
    "text beyond ASCII": lambda r: change(r, "ada", "ben", reason='Ü \U0001f511 <"\\/> \x7f\n'),
    "a new key with its pledge": lambda r: r.enrol("nina", "QA Lead").put_in_force("ada", "ben").put_in_force("ben", "cleo"),
    "an ended key without a pledge": lambda r: unpledged(r.enrol("nina", until="20261122000000Z")).put_in_force("ada", "ben"),
    "names in other writings": lambda r: named(r, "\u041d\u0438\u043d\u0430 O'Neil-\u6797 \U0001f600").put_in_force("ada", "ben"),
    "the log's key rotated": lambda r: r.rotate(r.store.parents[1]),
    "signed right before it expires": lambda r: late(r, 30 * 86400 - 0.001),
}  # fmt: skip

NOT_FOLLOWING: dict[str, Callable[[SignedRosters], object]] = {
    "by one of two": lambda r: change(r, "ada"),
    "by a stranger besides": lambda r: change(r, "ada", "ben", "eve"),
    "by one person with two keys": lambda r: change(r, "ada", "ada-2"),
    "by the person concerned": lambda r: r.enrol("cleo", ADMINISTRATOR, "QA Lead").put_in_force("ada", "cleo"),
    "in another namespace": lambda r: change(r, "ada", "ben", namespace="file"),
    "a number skipped": lambda r: change(r, "ada", "ben", number=3),
    "other signers under the same roster": lambda r: r.bring({**r.newest, "allowed_signers": b""}),
    "without a roster": lambda r: r.bring(r.files()),
    "one key for two people": lambda r: change(with_tinas_key(r, "eve"), "ada", "ben"),
    "a key for anybody": lambda r: change(with_tinas_key(r, "*"), "ada", "ben"),
    "two blanks in a name": lambda r: named(r, "Tina  Tanaka").put_in_force("ada", "ben"),
    "no width in a name": lambda r: named(r, "Ti\u200bna").put_in_force("ada", "ben"),
    "a name that is a number": lambda r: named(r, 7).put_in_force("ada", "ben"),
    "a new key without a pledge": lambda r: unpledged(r.enrol("nina", "QA Lead")).put_in_force("ada", "ben"),
    "a pledge by another key": lambda r: replaced(r, "eve").put_in_force("ada", "ben"),
    "a pledge of another person": lambda r: replaced(r, person="otto@example.org").put_in_force("ada", "ben"),
    "a pledge under another name": lambda r: replaced(r, printed_name="Nora").put_in_force("ada", "ben"),
    "a pledge for another log": lambda r: replaced(r, origin="deploy.example.org/staging").put_in_force("ada", "ben"),
    "other pledges under the same roster": lambda r: r.bring({**r.newest, "pledge-00000000.sig": b""}),
    "a plus-address": lambda r: renamed(r, "tina+1@example.org").put_in_force("ada", "ben"),
    "a plus-address of nobody's key": lambda r: known_as(r, "tina+1@example.org").put_in_force("ada", "ben"),
    "more keys than a roster has": lambda r: change(r, "ada", "ben", more=1),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLLOWING)
def test_it_follows_the_rosters_that_administrators_signed(
    peer: Peer, tmp_path: Path, keys: Mapping[str, Path], case: str
) -> None:
    rosters = SignedRosters.begin(tmp_path, keys).root()
    FOLLOWING[case](rosters)
    _, _, size, root = rosters.log.checkpoint().split()

    assert (True, f"{size} {root}") == peer.says(rosters.store)
    assert second_opinion(rosters.store).ok


@pytest.mark.parametrize("case", NOT_FOLLOWING)
def test_it_refuses_a_roster_that_does_not_follow_as_verify_sh_does(
    peer: Peer, tmp_path: Path, keys: Mapping[str, Path], case: str
) -> None:
    rosters = SignedRosters.begin(tmp_path, keys).root()
    NOT_FOLLOWING[case](rosters)
    well, said = peer.says(rosters.store)
    theirs = second_opinion(rosters.store)

    assert (well, theirs.ok) == (False, False)
    assert said.startswith(f"{entries.name(2)}: ")
    assert f"\nNOT VERIFIED: {entries.name(2)}: " in f"\n{theirs.text}"


@pytest.mark.parametrize("case", trail_reviews.PERMITTED)
def test_it_follows_the_reviews_of_the_trail(peer: Peer, tmp_path: Path, keys: Mapping[str, Path], case: str) -> None:
    reviews = Reviews.begin(tmp_path, keys)
    trail_reviews.PERMITTED[case](reviews)

    assert peer.says(reviews.store)[0]


@pytest.mark.parametrize("case", trail_reviews.REFUSED)
def test_it_refuses_a_review_that_covers_or_says_another_thing(
    peer: Peer, tmp_path: Path, keys: Mapping[str, Path], case: str
) -> None:
    reviews = Reviews.begin(tmp_path, keys)
    trail_reviews.REFUSED[case][0](reviews)
    well, said = peer.says(reviews.store)

    assert (well, said.partition(": ")[0]) == (False, entries.name(reviews.size - 1))


def test_it_refuses_an_approval_when_the_roster_has_expired(
    peer: Peer, tmp_path: Path, keys: Mapping[str, Path]
) -> None:
    rosters = late(SignedRosters.begin(tmp_path, keys).root(), 30 * 86400)

    signed = entries.name(rosters.log.history()[-1].seq)
    assert (False, f"{signed}: counted after the roster in force expired") == peer.says(rosters.store)
    assert not second_opinion(rosters.store).ok


@pytest.mark.parametrize(
    "quinn, said", [("pin", "pin"), ("touch", "touch"), (None, "none"), ("touch", "pin"), (None, "touch")]
)
def test_it_reads_in_a_signature_what_its_event_says_of_the_token(
    peer: Peer, tmp_path: Path, quinn: str | None, said: str
) -> None:
    tokens = {"tina": Token("ecdsa")} | ({} if quinn is None else {"quinn": Token("ed25519", FLAGS[quinn])})
    insider = Insider.begin(tmp_path, tokens=tokens)
    insider.says = {"tina": "pin", "quinn": said}
    insider.approve("tina", "quinn")

    well, text = peer.says(insider.store)

    assert well == (said == (quinn or "none"))
    assert well or text.startswith(f"{entries.name(insider.seq_of('approval.signed'))}: ")
    assert well or text.endswith(f"quinn.json.sig: made with {quinn or 'none'}, not with {said}")
