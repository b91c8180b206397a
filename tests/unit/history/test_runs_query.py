"""Words become a question, or are refused with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.history.runs import OUTCOMES, RunQuery, find_stores, parse_instant

WORDS = dict.fromkeys(
    ("since", "until", "commit", "digest", "version", "deployer", "approver", "outcome", "pipeline", "migration", "requirement"),
    "",
)  # fmt: skip


def question(**words: str) -> RunQuery:
    return RunQuery.from_options({**WORDS, **words})


def test_no_words_ask_for_every_run() -> None:
    assert RunQuery() == question()


def test_a_day_alone_is_a_utc_day_from_its_beginning_to_its_end() -> None:
    assert RunQuery(since="2026-03-01T00:00:00.000Z", until="2026-03-02T00:00:00.000Z") == question(
        since="2026-03-01", until="2026-03-01"
    )


def test_an_instant_is_taken_with_its_zone() -> None:
    assert question(since="2026-03-01T12:00+02:00").since == "2026-03-01T10:00:00.000Z"
    assert parse_instant("as-of", "2026-03-01T12:00Z") == "2026-03-01T12:00:00.000Z"


@pytest.mark.parametrize(
    "words,asked",
    [
        ({"commit": "ABCD"}, RunQuery(commit="abcd")),
        ({"digest": "sha256:ABCD"}, RunQuery(digest="sha256:abcd")),
        ({"digest": "abcd"}, RunQuery(digest="sha256:abcd")),
        ({"outcome": "deployed, rolled-back"}, RunQuery(outcomes=("deployed", "rolled-back"))),
        ({"pipeline": "plan,smoke,"}, RunQuery(pipelines=("plan", "smoke"))),
        ({"requirement": "REQ-o00043"}, RunQuery(requirement="REQ-o00043")),
        ({"requirement": "PARCEL-12"}, RunQuery(requirement="PARCEL-12")),
        (
            {"requirement": "REQ-o00043-K", "migration": " 0007 "},
            RunQuery(requirement="REQ-o00043-K", migration="0007"),
        ),
        ({"outcome": ",".join(OUTCOMES)}, RunQuery(outcomes=OUTCOMES)),
    ],
)
def test_words_are_taken_as_they_are_meant(words: dict[str, str], asked: RunQuery) -> None:
    assert asked == question(**words)


@pytest.mark.parametrize(
    "words,says",
    [
        ({"commit": "abc"}, "--commit=abc: right is the first 4 to 40 hex digits"),
        ({"commit": "main"}, "right is the first 4"),
        ({"digest": "sha256:xyz1"}, "--digest=xyz1: right is sha256: and"),
        ({"outcome": "deployed,fine"}, "--outcome=deployed,fine: fine is none; right is some of deployed, refused"),
        ({"pipeline": "dploy"}, "right is some of deploy"),
        ({"since": "yesterday"}, "--since=yesterday is no instant; right is 2026-03-01T12:00Z"),
        ({"since": "2026-03-01T12:00"}, "an instant has a time and a zone"),
        ({"until": "0001-01-01T00:00+14:00"}, "is no instant"),
        ({"until": "9999-12-31"}, "--until"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "no run can lie between"),
    ],
)
def test_any_other_word_is_refused_and_told_what_would_be_right(words: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        question(**words)

    assert says in str(refused.value)


@pytest.mark.parametrize("text", ["2026-03-01", "20260301", "12:00Z", ""])
def test_what_is_no_instant_is_not_asked_of_a_moment(text: str) -> None:
    with pytest.raises(UsageError, match="right is 2026-03-01T12:00Z"):
        parse_instant("as-of", text)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    for name in ("production", "local", "rehearsal/production", "rehearsal/staging"):
        (tmp_path / name / "log").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def test_all_real_stores_are_asked_unless_some_are_named(reports: Path) -> None:
    assert {"local": reports / "local", "production": reports / "production"} == find_stores(
        reports, [], rehearsal=False
    )
    assert list(find_stores(reports, ["production", "production"], rehearsal=False)) == ["production"]


def test_rehearsals_are_asked_apart(reports: Path) -> None:
    assert list(find_stores(reports, [], rehearsal=True)) == ["rehearsal/production", "rehearsal/staging"]
    assert [reports / "rehearsal/staging"] == list(find_stores(reports, ["staging"], rehearsal=True).values())


def test_the_names_given_are_those_that_may_be_asked_for(reports: Path) -> None:
    with pytest.raises(UsageError, match=r"there is production, staging$"):
        find_stores(reports, ["prod"], rehearsal=True)


@pytest.mark.parametrize("name", ["prod", "elsewhere", "..", "rehearsal"])
def test_what_is_no_store_is_refused_and_those_there_are_named(reports: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"no record .*there is local, production"):
        find_stores(reports, [name], rehearsal=False)


def test_a_rehearsals_record_is_asked_for_by_its_own_word(reports: Path) -> None:
    with pytest.raises(UsageError, match="right is --env production --rehearse"):
        find_stores(reports, ["rehearsal/production"], rehearsal=False)


def test_where_there_is_no_record_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no record under"):
        find_stores(tmp_path, [], rehearsal=False)
    with pytest.raises(UsageError, match="there is none"):
        find_stores(tmp_path, ["local"], rehearsal=False)
