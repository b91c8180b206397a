"""Timestamps by a real openssl authority behind HTTP on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.anchors.kinds import TimestampAuthority
from pytest_deploy.errors import AnchorUnavailable
from pytest_deploy.record import programs
from pytest_deploy.record.log import Log
from tests import timestamp_authority
from tests.required_programs import needs
from tests.unit.record.sample_record import open_log


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> timestamp_authority.Authority:
    needs("openssl")
    return timestamp_authority.authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture
def url(made: timestamp_authority.Authority) -> Iterator[str]:
    made.asked.clear()
    with timestamp_authority.serving(made) as address:
        yield address


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return open_log(tmp_path)


def asked(log: Log, url: str, certificate: bytes, timeout_s: float = 5) -> TimestampAuthority:
    return TimestampAuthority(log.store, url, certificate, timeout_s)


def test_a_reply_is_verified_and_kept_beside_its_checkpoint(
    log: Log, url: str, made: timestamp_authority.Authority
) -> None:
    told = asked(log, url, made.certificate.read_bytes()).make(log.signed())

    kept = log.store.path / "anchors" / "00000001.tsr"
    assert told == {"reply_sha256": hashlib.sha256(kept.read_bytes()).hexdigest()}
    shown = made.openssl("ts", "-reply", "-in", str(kept), "-text").decode()
    assert "Hash Algorithm: sha256" in shown
    assert log.checkpoint().encode() not in made.asked[0]  # a digest leaves, no more


def test_a_second_reply_never_replaces_the_first(log: Log, url: str, made: timestamp_authority.Authority) -> None:
    authority = asked(log, url, made.certificate.read_bytes())

    assert authority.make(log.signed()) == authority.make(log.signed())
    assert len(made.asked) == 2


def test_it_cannot_be_read_back(log: Log, url: str) -> None:
    authority = asked(log, url, b"")

    assert (authority.read_back, authority.known(), authority.newest(), authority.place) == (False, (), None, url)


def test_the_word_of_another_authority_is_refused(log: Log, url: str, tmp_path: Path) -> None:
    other = timestamp_authority.authority(tmp_path / "other")

    with pytest.raises(AnchorUnavailable, match="openssl ts -verify refused"):
        asked(log, url, other.certificate.read_bytes()).make(log.signed())
    assert not (log.store.path / "anchors").exists()


def test_the_reply_to_another_question_is_refused(
    log: Log, url: str, made: timestamp_authority.Authority, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    query = made.openssl("ts", "-query", "-data", str(other), "-sha256", "-cert")
    made.answers.append((200, "application/timestamp-reply", made.reply(query)))

    with pytest.raises(AnchorUnavailable, match="openssl ts -verify refused"):
        asked(log, url, made.certificate.read_bytes()).make(log.signed())


@pytest.mark.parametrize(
    "answer", [(503, "text/plain", b"busy"), (200, "text/html", b"<p>"), (302, "text/plain", b""), (200, "", b"x")]
)
def test_what_is_no_reply_says_what_came(
    log: Log, url: str, made: timestamp_authority.Authority, answer: tuple[int, str, bytes]
) -> None:
    made.answers.append(answer)

    with pytest.raises(AnchorUnavailable, match=f"answered {answer[0]}, .*: no timestamp reply"):
        asked(log, url, made.certificate.read_bytes()).make(log.signed())


def test_no_answer_says_so(log: Log) -> None:
    with pytest.raises(AnchorUnavailable, match=r"no answer \(ConnectionError\); see whether it is up"):
        asked(log, "http://127.0.0.1:9/tsr", b"", timeout_s=1).make(log.signed())


def test_a_missing_openssl_says_what_to_install(log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())

    with pytest.raises(AnchorUnavailable, match="openssl is not installed"):
        asked(log, "http://127.0.0.1:9/tsr", b"").make(log.signed())
