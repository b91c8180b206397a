"""What is signed reads back as it was written, and nothing else reads at all."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.approvals.sign_request import Approval, OverrideStatement, parse, render
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical

TEXT = st.text(st.characters(exclude_categories=["C"]).filter(str.isprintable), min_size=1).filter(str.strip)
STAMP = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)).map(stamp)  # noqa: DTZ001 -- hypothesis wants naive bounds
SAID = Approval("approves", "Tina", "tina@example.org", "Tech Lead", "2026-11-22T12:00:00.000Z", "0" * 64, "run", "")


def statements(kind: type[Approval | OverrideStatement]) -> st.SearchStrategy[Approval | OverrideStatement]:
    return st.builds(kind, **{f.name: STAMP if f.name in {"signed_at", "expires"} else TEXT for f in fields(kind)})


@given(said=statements(Approval))
def test_an_approval_reads_as_it_was_written(said: Approval) -> None:
    assert said == parse(render(said), Approval)


@given(said=statements(OverrideStatement))
def test_an_override_reads_as_it_was_written(said: OverrideStatement) -> None:
    assert said == parse(render(said), OverrideStatement)


@given(said=statements(Approval), at=st.integers(min_value=0), byte=st.integers(0, 255))
def test_other_bytes_say_something_else_or_nothing(said: Approval, at: int, byte: int) -> None:
    content = bytearray(render(said))
    content[at % len(content)] = byte
    if bytes(content) == render(said):
        return

    try:
        read = parse(bytes(content), Approval)
    except ValueError:
        return

    assert said != read


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "no canonical JSON"),
        (b"[]\n", "no canonical JSON object"),
        (json.dumps(asdict(SAID)).encode(), "no canonical JSON object"),
        (render(SAID).replace(b"\n", b"\r\n"), "no canonical JSON object"),
        (canonical({**asdict(SAID), "more": "x"}), "more is missing or too much"),
        (canonical({k: v for k, v in asdict(SAID).items() if k != "run"}), "run is missing or too much"),
        (canonical({**asdict(SAID), "role": " "}), "role is empty or no text"),
        (canonical({**asdict(SAID), "role": 1}), "role is empty or no text"),
        (canonical({**asdict(SAID), "comment": None}), "comment is empty or no text"),
        (
            canonical({**asdict(SAID), "comment": "fine\nmissing   nobody"}),
            "comment holds characters that cannot be shown",
        ),
        (canonical({**asdict(SAID), "role": "QA\u202eLead"}), "role holds characters that cannot be shown"),
        (canonical({**asdict(SAID), "signed_at": "yesterday"}), "yesterday"),
    ],
)
def test_what_is_no_statement_is_refused_by_name(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(content, Approval)


def test_an_override_needs_its_reason_and_an_end() -> None:
    whole = dict.fromkeys((f.name for f in fields(OverrideStatement)), "x") | {
        "signed_at": SAID.signed_at, "expires": SAID.signed_at,
    }  # fmt: skip
    assert parse(canonical(whole), OverrideStatement).reason == "x"

    for wrong in ({"reason": ""}, {"expires": "never"}, {"incident": ""}):
        with pytest.raises(ValueError, match=r"empty|never"):
            parse(canonical({**whole, **wrong}), OverrideStatement)
