"""Which request is run: the one that lives, for this commit; and what voids it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.release.live import migrations_sha256
from pytest_deploy.release.request import NOT_DEPLOYED, choose, digest, drift, pending, stored_request
from pytest_deploy.workspace import Workspace

PRODUCTION = Workspace(Path(), "production")
NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
COMMIT = "c" * 40


def made(run: str, *, commit: str = COMMIT, expires: datetime = NOW + timedelta(hours=1), seq: int = 1) -> Event:
    data: dict[str, Any] = {
        "request_sha256": "0" * 64, "expires": stamp(expires), "requested_by": "tina@example.org", "commit": commit,
    }  # fmt: skip
    return Event(seq, "0" * 64, NOW, "0" * 16, "request.made", run, "system:pipeline", data)


def told(type_: str, run: str) -> Event:
    return replace(made(run), type=type_, data={"pipeline": "deploy", "commit": COMMIT})


FIRST, SECOND = "production-20261123T120000Z-0001", "production-20261123T130000Z-0002"


def test_a_request_lives_until_it_expires_is_voided_or_a_run_opens_for_it() -> None:
    events = [made(FIRST), made(SECOND, expires=NOW), made("voided"), told("request.voided", "voided"), made("ran")]
    events.append(told("run.opened", "ran"))

    assert [one.run for one in pending(events, NOW)] == [FIRST]


@pytest.mark.parametrize("ahead", [timedelta(days=200), timedelta(days=-200)])
def test_a_rehearsed_request_lives_by_the_clock_it_was_made_by(ahead: timedelta) -> None:
    expires = NOW + ahead + timedelta(hours=1)
    event = made(FIRST, expires=expires)
    events = [replace(event, data={**event.data, "clock": stamp(NOW + ahead)})]

    (request,) = pending(events, NOW, real=True)
    assert request.shift == ahead
    assert pending(events, NOW + timedelta(hours=1), real=True) == ()
    assert [one.run for one in pending(events, expires - timedelta(seconds=1))] == [FIRST]
    assert pending(events, expires) == ()


def test_a_request_that_a_run_made_for_itself_is_nothing_to_choose() -> None:
    assert pending([replace(made(FIRST), data={**made(FIRST).data, "expires": None})], NOW) == ()


def test_a_request_is_the_bytes_that_were_made_or_none(tmp_path: Path) -> None:
    place = tmp_path / "runs" / FIRST / "request.json"
    event = replace(made(FIRST), data={**made(FIRST).data, "request_sha256": digest(b"{}\n")})
    with pytest.raises(Refused, match=r"request\.json cannot be read \(No such file or directory\)"):
        stored_request(tmp_path, FIRST, [event])

    place.parent.mkdir(parents=True)
    place.write_bytes(b"{}\n")
    assert stored_request(tmp_path, FIRST, [event]).content == b"{}\n"
    for events in ([], [replace(event, run=SECOND)]):
        with pytest.raises(Refused, match="is not the request that was made"):
            stored_request(tmp_path, FIRST, events)

    place.write_bytes(b"{")
    with pytest.raises(Refused, match="is not the request that was made: somebody changed it"):
        stored_request(tmp_path, FIRST, [event])


def test_the_only_request_for_the_commit_is_run_and_a_named_one_whatever_its_commit() -> None:
    requests = pending([made(FIRST), made(SECOND, commit="d" * 40)], NOW)

    assert choose(requests, workspace=PRODUCTION, commit=COMMIT).run == FIRST
    assert choose(requests, workspace=PRODUCTION, commit=COMMIT, run=SECOND).run == SECOND


@pytest.mark.parametrize(
    "events, asked, said",
    [
        ([], "", "no live requests for commit cccccccccccc"),
        ([made(FIRST), made(SECOND, seq=2)], "", "2 live requests"),
        ([made(FIRST)], SECOND, f"no live request {SECOND}"),
        ([made(FIRST, commit="d" * 40)], "", "`pytest-deploy run production --pipeline plan`"),
    ],
)
def test_none_or_several_are_refused_with_the_list(events: list[Event], asked: str, said: str) -> None:
    requests = pending(events, NOW)

    with pytest.raises(UsageError) as refused:
        choose(requests, workspace=PRODUCTION, commit=COMMIT, run=asked)

    assert said in str(refused.value)
    assert all(one.run in str(refused.value) for one in requests)


REQUEST: dict[str, Any] = {
    "artefact": {"image": "a"}, "commit": COMMIT, "migrations": [], "run": FIRST, "expires": "x", "plan": None, "reason": "",
    "ticket": "", "branch": "main", "earlier": {"revision": "diary-1"}, "policy_sha256": "1", "steps_sha256": "2", "dirty": False,
}  # fmt: skip


@given(st.sampled_from(sorted(REQUEST)), st.one_of(st.text(max_size=300), st.integers(), st.none()))
def test_any_change_of_what_is_deployed_drifts_and_of_the_asking_does_not(key: str, value: object) -> None:
    now = {**REQUEST, key: value}

    found = drift(REQUEST, now)

    if key in NOT_DEPLOYED or value == REQUEST[key]:
        assert found == ()
    else:
        assert len(found) == 1
        assert found[0].startswith(f"{key} was ")


def test_a_key_that_is_missing_is_a_drift() -> None:
    assert drift({**REQUEST, "commit": None}, REQUEST) == ("commit was null, is " + COMMIT,)
    assert len(drift(REQUEST, {key: value for key, value in REQUEST.items() if key != "earlier"})) == 1


def test_a_migration_set_is_named_by_versions_digests_and_order() -> None:
    first, second = ("0001", "a" * 64), ("0002", "b" * 64)

    assert migrations_sha256([first, second]) == migrations_sha256(iter([first, second]))
    assert len({migrations_sha256(s) for s in ([first, second], [second, first], [first], [])}) == 4
