"""Signed files are made once, under a name of their own, and only where they will count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.approvals import signed_file as module
from pytest_deploy.approvals.signed_file import SignedFile, require_valid_key, store_signed_file
from pytest_deploy.errors import Refused
from pytest_deploy.record.log import Log
from pytest_deploy.record.ssh_signature import sign
from pytest_deploy.release.request import digest
from pytest_deploy.verify.verify import verify
from tests.unit.approvals.pending_request import POLICY, QUINN, REQUEST, RUN, TINA, PendingRequest
from tests.unit.record.sample_record import ORIGIN, RunWriter

FOLDER = "signoffs/environment"


def signed(pending: PendingRequest, content: bytes, key: str = TINA.email) -> SignedFile:
    """A statement in Tina's name, signed with `key`."""
    now, roster = pending.clock.now(), pending.roster
    known = require_valid_key(roster, TINA, "Tech Lead", pending.keys[TINA.email], now, store=Path("reports/local"))
    return store_signed_file(
        pending.log.store, FOLDER, "thaw", content, key=pending.keys[key], known=known, roster=roster, at=now,
        check=lambda _: None,
    )  # fmt: skip


def lying(pending: PendingRequest) -> list[str]:
    folder = pending.store / FOLDER
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_statement_and_its_signature_lie_side_by_side(pending: PendingRequest) -> None:
    files = signed(pending, b"said")

    assert [(pending.store / f"{files.name}{end}").read_bytes() for end in ("", ".sig")] == [b"said", files.signature]
    assert lying(pending) == [files.name.rpartition("/")[2], f"{files.name.rpartition('/')[2]}.sig"]


def test_who_signs_again_gets_another_name_and_replaces_nothing(pending: PendingRequest) -> None:
    first, second = signed(pending, b"said"), signed(pending, b"said again")

    assert second.name == first.name.replace(".json", "-2.json")
    assert (pending.store / first.name).read_bytes() == b"said"


@pytest.mark.parametrize("key", [QUINN.email, "stranger"])
def test_what_another_key_signed_is_not_kept(pending: PendingRequest, key: str) -> None:
    with pytest.raises(Refused, match=r"the signature just made does not verify for tina@.*; nothing was kept"):
        signed(pending, b"said", key)

    assert lying(pending) == []


def test_where_every_name_is_taken_it_is_told_and_nothing_is_replaced(pending: PendingRequest) -> None:
    name = signed(pending, b"said").name
    for number in range(2, 100):
        pending.log.store.create(name.replace(".json", f"-{number}.json"), b"squatted")
    before = lying(pending)

    with pytest.raises(Refused, match="100 names of the slot thaw are taken"):
        signed(pending, b"said again")

    assert lying(pending) == before


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """While ssh-keygen waits for a passphrase or a touch."""

    def slow(*words: Any, **more: Any) -> bytes:
        happens()
        return sign(*words, **more)

    monkeypatch.setattr(module, "sign", slow)


def over(pending: PendingRequest) -> None:
    """The run ends before it changed anything."""
    run = RunWriter(pending.log, RUN)
    run.policy = POLICY
    run.open(request_sha256=digest(REQUEST)).step("build", outcome="failed").close("failed")


def test_a_signature_that_comes_when_the_run_has_closed_is_not_laid_into_its_sealed_folder(
    pending: PendingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time = pending.approve(TINA)
    assert (pending.store / in_time.data["file"]).is_file()
    before = len(list(pending.store.rglob("approvals/*")))
    meanwhile(monkeypatch, lambda: over(pending))

    with pytest.raises(Refused, match=r"nothing was kept: approval\.signed is not legal now"):
        pending.approve(QUINN)

    assert before == len(list(pending.store.rglob("approvals/*")))
    assert verify(pending.store).ok


def test_nobody_signs_a_known_secret_into_the_record(pending: PendingRequest) -> None:
    knowing = Log(
        pending.log.store,
        pending.log._signer,
        ORIGIN,
        pending.clock,
        redact=lambda text: text.replace("INC-7", "[PASSWORD]"),
    )
    told = PendingRequest(knowing, pending.store, pending.clock, pending.keys)
    with pytest.raises(Refused, match=r"nothing was kept: override\.signed holds a known secret"):
        told.override(TINA)
    assert list(pending.store.rglob("approvals/*")) == []

    told.override(TINA, incident="INC-8")
    assert verify(pending.store).ok
