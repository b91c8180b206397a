from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.event import FIRST_PREV, LIMIT, Event, canonical, of_type, parse_line
from pytest_deploy.record.events import RunOpened, StepStarted
from tests.unit.record.sample_record import NOON

RUN = "production-20261122T201500Z-4f1c"
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "seq": 6,
        "prev": FIRST_PREV,
        "time": NOON,
        "id": "e6c91302f390b416",
        "type": "gate.passed",
        "run": RUN,
        "actor": "system:pipeline",
        "data": {},
    }
    return Event(**{**fields, **changes})


def test_a_line_is_sorted_unspaced_ascii_json() -> None:
    expected = (
        '{"actor":"system:pipeline","data":{"a":"\\u00e9","b":[1,2.5,null]},"id":"e6c91302f390b416",'
        f'"prev":"{FIRST_PREV}","run":"{RUN}","seq":6,"time":"2026-11-22T12:00:00.000Z","type":"gate.passed","v":2}}\n'
    )

    assert expected.encode() == event(data={"b": (1, 2.5, None), "a": "é"}).line()


@given(
    data=st.dictionaries(_TEXT, _JSON, max_size=4),
    time=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
    seq=st.integers(min_value=0),
)
def test_a_line_reads_back_to_the_same_bytes(data: dict[str, Any], time: datetime, seq: int) -> None:
    line = event(data=data, time=time, seq=seq).line()
    read = parse_line(line)

    assert line == read.line()
    assert data == read.data


@given(st.binary(max_size=60) | st.text().map(str.encode))
def test_noise_is_refused_not_crashed_on(noise: bytes) -> None:
    with pytest.raises(IllegalEvent):
        parse_line(noise)


@given(st.data())
def test_no_byte_of_a_line_can_change_and_still_be_the_event_that_was_read(data: st.DataObject) -> None:
    line = event(data={"gate": "window", "n": 1.5}).line()
    place = data.draw(st.integers(0, len(line) - 1))
    flipped = line[:place] + bytes([line[place] ^ data.draw(st.integers(1, 255))]) + line[place + 1 :]
    try:
        read = parse_line(flipped)
    except IllegalEvent:
        return

    assert flipped == read.line()


LINE = event().line()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINE.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(LINE[:-1], id="no newline"),
        pytest.param(LINE + b"\n", id="two newlines"),
        pytest.param(LINE.replace(b'"seq":6', b'"seq": 6'), id="a space"),
        pytest.param(LINE.replace(b'"v":2', b'"v":2,"v":2'), id="a key twice"),
        pytest.param(LINE.replace(b'"data":{}', b'"data":{"a":1,"a":2}'), id="a key of data twice"),
        pytest.param(LINE.replace(b'"data":{}', b'"data":{"a":NaN}'), id="NaN"),
        pytest.param(LINE.replace(b'"data":{}', b'"data":{"a":1e999}'), id="infinity by overflow"),
        pytest.param(LINE.replace(b'"data":{}', '{"a":"é"}'.encode()), id="not ASCII"),
        pytest.param(LINE.replace(b'"data":{}', b'"data":{"b":1,"a":2}'), id="unsorted"),
        pytest.param(LINE.replace(b"{}", b"{" + b'"a":[' + b"[" * 5000 + b"]" * 5000 + b"]}"), id="too deep"),
        pytest.param(LINE.replace(b"{}", b'{"a":"' + b"x" * LIMIT + b'"}'), id="too long"),
        pytest.param(LINE.replace(b'"v":2', b'"v":1'), id="another version"),
        pytest.param(LINE.replace(b'"v":2', b'"v":true'), id="a version that is no number"),
        pytest.param(LINE.replace(b'"seq":6', b'"seq":-6'), id="a negative seq"),
        pytest.param(LINE.replace(b'"seq":6', b'"seq":6.0'), id="a fractional seq"),
        pytest.param(LINE.replace(b'"data":{}', b'"data":[]'), id="data no object"),
        pytest.param(LINE.replace(b'"v":2', b'"v":2,"w":1'), id="an unknown field"),
        pytest.param(LINE.replace(b"12:00:00.000Z", b"12:00:00Z"), id="time without milliseconds"),
        pytest.param(LINE.replace(RUN.encode(), b"../../etc"), id="run no run"),
        pytest.param(LINE.replace(b'"' + RUN.encode() + b'"', b"[]"), id="run no text"),
        pytest.param(LINE.replace(b"system:pipeline", b"root"), id="actor of no form"),
        pytest.param(LINE.replace(b"e6c9", b"E6C9"), id="id in capitals"),
        pytest.param(b"[]\n", id="no object"),
    ],
)
def test_one_event_has_one_form_and_all_else_is_refused(line: bytes) -> None:
    with pytest.raises(IllegalEvent):
        parse_line(line)


@pytest.mark.parametrize("actor", ["system:pipeline", "github:1234:ada", "ada@example.org", "local:1000:ada@desk"])
def test_each_form_of_actor_is_accepted(actor: str) -> None:
    assert actor == parse_line(event(actor=actor).line()).actor


@pytest.mark.parametrize(
    "data,says",
    [
        ({"a": {1, 2}}, "data.a is a set"),
        ({"a": [object()]}, r"data.a\[0\] is a object"),
        ({"a": {1: 2}}, "has the key 1"),
        ({"a": b"x"}, "is a bytes"),
        ({"a": NOON}, "is a datetime"),
        ({"a": "\udc80"}, "surrogate"),
        ({"a": float("nan")}, "not JSON"),
        ({"a": float("inf")}, "not JSON"),
    ],
)
def test_what_json_cannot_hold_is_an_error_never_its_text(data: dict[str, Any], says: str) -> None:
    with pytest.raises(IllegalEvent, match=says):
        event(data=data).line()


def test_the_longest_line_is_accepted_and_one_byte_more_refused() -> None:
    room = LIMIT - len(event(data={"a": ""}).line())

    assert len(event(data={"a": "x" * room}).line()) == LIMIT
    with pytest.raises(IllegalEvent, match="put the long part into a file"):
        event(data={"a": "x" * (room + 1)}).line()


def test_a_field_out_of_form_is_refused_when_written_too() -> None:
    with pytest.raises(IllegalEvent, match="actor"):
        event(actor="somebody").line()


def test_canonical_json_of_a_document_ends_in_one_newline() -> None:
    assert canonical({"b": 1, "a": 2}) == b'{"a":2,"b":1}\n'
    assert json.loads(canonical([1])) == [1]


def test_events_of_a_type_come_with_their_content_and_no_other_is_parsed() -> None:
    started = event(type="step.started", data={"nodeid": "a", "phase": "smoke", "changes": False})
    broken = event(type="run.opened", data={"no": "such key"})

    assert [(found, content.nodeid) for found, content in of_type([broken, started], StepStarted)] == [(started, "a")]
    assert started.read(StepStarted).phase == "smoke"
    with pytest.raises(IllegalEvent, match=r"is step\.started, which RunOpened does not read"):
        started.read(RunOpened)
