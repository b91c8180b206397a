"""Steps that print what must not be printed, in every way a step can; and where to look for it afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pytest_deploy.record.redaction import forms
from tests.project_checkout import Checkout

PASSWORD = "Tür-7\"'<b>&amp; \\x/+=%é-0Kq"
"""Of the synthetic account: every character that some report writer writes otherwise."""
VARIABLE = "env-canary-4f1c9a77be"
"""In a variable of the process named like a secret."""
SUBJECT = "subject-canary-93e1 took 2 tablets\nand slept"
"""What a participant wrote, on two lines; what a database says of a row may break off anywhere."""
SUBJECT_MARK = "subject-canary-93e1"

CANARIES = 6
"""Steps of SUITE."""

SUITE = '''
"""Canaries: each step gives away what it knows."""

import logging
import os
import sys
import warnings

import psycopg
import pytest

FAILS = os.environ["CANARY"] == "fails"
SUBJECT = "".join({subject!r})  # in two parts: the text of the suites lies in the record
pytestmark = [pytest.mark.requirement("REQ-o00043-H"), pytest.mark.filterwarnings("always::UserWarning")]


def test_said(secrets, record):
    print("out", secrets["SMOKE_PASSWORD"], os.environ)
    print("err", repr(secrets["SMOKE_PASSWORD"]), file=sys.stderr)
    logging.getLogger("canary").warning("log %s", secrets["SMOKE_PASSWORD"])
    warnings.warn(f"warned {{secrets['SMOKE_PASSWORD']}}", UserWarning)
    record.attach("canary.txt", secrets["SMOKE_PASSWORD"].encode())
    record.attach(f"named-{{os.environ['CANARY_TOKEN']}}.txt", b"its name tells it")
    record.attach("canary.bin", b"\\xff\\x00" + secrets["SMOKE_PASSWORD"].encode())
    record.expect({{secrets["SMOKE_PASSWORD"]: 1}}, [secrets["SMOKE_PASSWORD"] * 20])
    record.alert("canary", secrets["SMOKE_PASSWORD"])
    assert not FAILS, secrets["SMOKE_PASSWORD"]


def test_compared(secrets):
    assert not FAILS or {{"k": "x" * 300, "password": secrets["SMOKE_PASSWORD"]}} == {{"k": "y" * 300}}


def test_raised(secrets):
    class Odd(Exception):
        def __str__(self):
            return "odd " + secrets["SMOKE_PASSWORD"]

    try:
        raise ValueError(secrets["SMOKE_PASSWORD"])
    except ValueError as error:
        if FAILS:
            error.add_note(os.environ["CANARY_TOKEN"])
            raise Odd from error


@pytest.fixture
def breaks(secrets):
    if FAILS:
        raise KeyError(secrets["SMOKE_PASSWORD"])


def test_set_up(breaks):
    pass


def test_row(database):
    with database.connect() as connection:
        connection.execute("create temp table canary (said text primary key)")
        connection.execute("insert into canary values (%s)", (SUBJECT,))
        try:
            connection.execute("insert into canary values (%s)", (SUBJECT,))
        except psycopg.Error as error:
            print("printed", error)
            print("repr", [str(error)])
            warnings.warn(str(error), UserWarning)
            if FAILS:
                raise
        try:
            connection.execute("select %s::int", (SUBJECT,))
        except psycopg.Error as error:
            if FAILS:
                raise RuntimeError(f"wrapped {{error}}") from error


def test_subject_writes(log_in, service):
    answer = service.call("POST", "/entries", json_body={{"day": "2026-01-01", "text": SUBJECT, "score": 5}},
                          token=log_in().body["token"])
    assert answer.status == 201 and not FAILS, answer.status
'''
"""A file of suites/smoke. It passes or fails as CANARY says, and gives everything away in both."""

MIGRATION = """-- deploy:compatible contract
-- migrate:up
-- deploy:accept require-concurrent-index-creation: on a throw-away platform nobody waits
create unique index canary_once on diary.entry_version (body) where body like 'subject%';

-- migrate:down
drop index diary.canary_once;
"""
"""Fails on the subject's rows: the server names them in DETAIL."""


def plant(checkout: Checkout) -> None:
    """Put the canary steps into the tree, and the canary password where the environment's secrets lie."""
    checkout.write("suites/smoke/test_canaries.py", SUITE.format(subject=(SUBJECT[:8], SUBJECT[8:])))
    ran = checkout.deploy_py("steps", "--write", env={"CANARY": "passes"})
    assert ran.code == 0, ran.said
    checkout.commit("Canaries")


def found(checkout: Checkout, *more: Path) -> list[str]:
    """Where a canary lies that must not: in any file of reports/ or .deploy/, but where it belongs, in any spelling."""
    wanted = {form.encode(): name for value, name in _wanted().items() for form in forms(value)}
    wanted[SUBJECT_MARK.encode()] = "the subject's row"
    places = [*(checkout.path / "reports").rglob("*"), *(checkout.path / ".deploy").rglob("*"), *more]
    return [
        f"{path.relative_to(checkout.path) if path.is_relative_to(checkout.path) else path.name}: {name} as {form!r}"
        for path in places
        if path.is_file()
        and not _belongs(path.relative_to(checkout.path) if path.is_relative_to(checkout.path) else path)
        for content in [path.read_bytes()]
        for form, name in wanted.items()
        if form in content
    ]


def _wanted() -> Mapping[str, str]:
    return {PASSWORD: "the password", VARIABLE: "the variable"}


def _belongs(path: Path) -> bool:
    """The secrets themselves; backups hold rows, and lie apart; the service's own copy of the tree."""
    return path.is_relative_to(".deploy/secrets") or path.is_relative_to(".deploy/backups")


class Watch:
    """What stood in the command line of any process while it watched."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    @contextmanager
    def over(self) -> Iterator[None]:
        """Look every few milliseconds."""
        stop = threading.Event()
        thread = threading.Thread(target=self._look, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _look(self, stop: threading.Event) -> None:
        while not stop.is_set():
            # The names alone: a glob looks at each, and one that is gone by then ends it.
            for process in Path("/proc").iterdir():
                try:
                    self.seen.add((process / "cmdline").read_bytes())
                except OSError:
                    continue
            time.sleep(0.02)
