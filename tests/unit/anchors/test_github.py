"""Lines at a stand-in for GitHub, asked by GitHub's own client library: left once, read back, refused in words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.anchors.github import TASK, Statuses
from pytest_deploy.errors import AnchorUnavailable
from pytest_deploy.policy import storage
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import Checkpoint, SignedCheckpoint
from tests.fake_github import REPOSITORY, TOKEN, Answer, GitHub
from tests.unit.anchors.signed_checkpoints import two
from tests.unit.record.sample_record import ORIGIN, open_log


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    made = GitHub()
    with made.serving():
        yield made


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return open_log(tmp_path)


def statuses(github: GitHub, *, ref: str = "main", timeout_s: float = 5, patience_s: float = 10) -> Statuses:
    rule = storage.GitHub(repository=REPOSITORY, ref=ref, api=github.url, timeout_s=timeout_s)
    return Statuses(rule, ORIGIN, patience_s=patience_s)


def line(size: int, root: bytes = bytes(32), origin: str = ORIGIN) -> str:
    return Checkpoint(origin, size, root).anchor


def own(github: GitHub, *descriptions: str) -> int:
    """The record's deployment, with statuses, the oldest first."""
    made = github.deployment(ORIGIN, task=TASK)
    github.said(made, *descriptions)
    return made


# --- left, and read back


def test_a_place_that_was_told_nothing_knows_nothing(github: GitHub) -> None:
    place = statuses(github)

    assert (place.known(), place.newest(), place.read_back) == ((), None, True)
    assert github.writes() == []


def test_it_knows_what_it_was_told_newest_last(github: GitHub, log: Log) -> None:
    first, second = two(log)
    place = statuses(github)
    left = [place.make(first), place.make(second)]

    assert place.known() == (first.checkpoint, second.checkpoint)
    assert place.newest() == second.checkpoint
    assert [first.checkpoint.anchor, second.checkpoint.anchor] == github.lines()
    (deployment,) = github.deployments
    assert [{"receipt": one["url"]} for one in github.statuses[deployment["id"]]] == left


def test_telling_it_again_is_no_change(github: GitHub, log: Log) -> None:
    first, second = two(log)
    place = statuses(github)
    told = [place.make(one) for one in (first, second)]
    before = github.writes()

    assert told == [place.make(one) for one in (first, second)]
    assert before == github.writes()


def test_a_line_of_long_ago_is_no_change_either(github: GitHub, log: Log) -> None:
    signed = log.signed()
    own(github, log.checkpoint(), *(line(size) for size in range(2, 150)))
    statuses(github).make(signed)

    assert github.writes() == []


def test_a_line_that_comes_late_is_left_too(github: GitHub, log: Log) -> None:
    first, second = two(log)
    place = statuses(github)
    place.make(second)
    place.make(first)

    assert place.known() == (first.checkpoint, second.checkpoint)
    assert place.newest() == second.checkpoint


def test_the_place_is_the_address_that_lists_it(github: GitHub, log: Log) -> None:
    statuses(github).make(log.signed())
    place = statuses(github).place.removeprefix(github.url)
    path, _, query = place.partition("?")

    assert "%2F" in query
    assert f"/repos/{REPOSITORY}/deployments" == path
    assert {ORIGIN} == {one["environment"] for one in github.deployments}


# --- nobody is disturbed


def test_no_deployment_of_a_teams_is_read_written_or_made_inactive(github: GitHub, log: Log) -> None:
    theirs = [github.deployment("production", production=True), github.deployment(ORIGIN)]
    for number in theirs:
        github.said(number, "shipped")
    statuses(github).make(log.signed())

    assert statuses(github).newest() == log.signed().checkpoint
    assert [[one["state"] for one in github.statuses[number]] for number in theirs] == [["success"], ["success"]]
    assert not any(f"deployments/{number}/" in one for number in theirs for one in github.asked)


def test_what_it_makes_is_no_deployment_to_production_and_outlasts_the_day(github: GitHub, log: Log) -> None:
    statuses(github).make(log.signed())
    (made,) = github.deployments

    assert (made["task"], made["environment"], made["ref"]) == (TASK, ORIGIN, "main")
    assert (made["production_environment"], made["transient_environment"]) == (False, False)


# --- pages


def test_the_newest_page_is_enough_for_the_newest_and_all_are_read_for_all(github: GitHub) -> None:
    number = own(github, *(line(size) for size in range(1, 251)))
    newest, pages = statuses(github).newest(), len(github.asked)

    assert newest is not None
    assert newest.size == 250
    assert pages == 2, github.asked
    assert list(range(1, 251)) == [one.size for one in statuses(github).known()]
    assert [f"GET /repos/{REPOSITORY}/deployments/{number}/statuses {page}" for page in (1, 2, 3)] == github.asked[-3:]


def test_an_older_line_said_again_hides_no_newer_one(github: GitHub) -> None:
    own(github, *(line(size) for size in (5, 9, 5, 5)))
    newest = statuses(github).newest()

    assert newest is not None
    assert newest.size == 9
    assert [one.size for one in statuses(github).known()] == [5, 9]


def test_where_the_oldest_come_first_every_page_is_read(github: GitHub) -> None:
    """GitHub lists the newest first, and nowhere says so."""
    github.newest_first = False
    own(github, *(line(size) for size in range(1, 251)))
    newest = statuses(github).newest()

    assert newest is not None
    assert newest.size == 250


def test_pages_may_be_smaller_than_asked_for(github: GitHub) -> None:
    github.largest_page = 2
    for _ in range(3):
        own(github)
    own(github, *(line(size) for size in range(1, 6)))

    assert len(statuses(github).known()) == 5


def test_two_that_were_the_first_are_both_read(github: GitHub, log: Log) -> None:
    own(github, line(7))
    own(github, line(5))

    assert [one.size for one in statuses(github).known()] == [5, 7]
    newest = statuses(github).newest()
    assert newest is not None
    assert newest.size == 7


# --- what does not belong there


@pytest.mark.parametrize(
    "said", ["shipped", "", line(3).replace("tlog", "log"), line(3) + " ", line(3, origin="x.org/y")]
)
def test_what_is_no_line_of_this_record_blocks(github: GitHub, log: Log, said: str) -> None:
    number = own(github, line(2), said)

    for ask in (statuses(github).newest, statuses(github).known, lambda: statuses(github).make(log.signed())):
        with pytest.raises(AnchorUnavailable, match=f"only lines `tlog {ORIGIN} SIZE ROOT` belong there") as caught:
            ask()
        assert f"deployments/{number}/statuses/90002 says {said!r}" in str(caught.value)


def test_another_root_of_this_size_is_a_rewritten_record_and_nothing_is_left(github: GitHub, log: Log) -> None:
    own(github, line(1))

    with pytest.raises(
        AnchorUnavailable, match=r"statuses/90001 holds another root of 1 events: the record was rewritten"
    ):
        statuses(github).make(log.signed())
    assert [line(1)] == github.lines()


def test_two_roots_of_one_size_block(github: GitHub) -> None:
    own(github, line(4), line(4, b"\1" * 32))

    with pytest.raises(AnchorUnavailable, match=r"90002 and .*90001 hold two roots of 4 events"):
        statuses(github).newest()


# --- GitHub says no, or nothing


REFUSALS = {
    "no valid token": (Answer(401, {"message": "Bad credentials"}), "401 Bad credentials: give GITHUB_TOKEN a token that is valid"),
    "may not": (Answer(403, {"message": "Not accessible"}), "403 Not accessible: let the token read and write deployments"),
    "not there": (Answer(404, {"message": "Not Found"}), f"404 Not Found: see whether {REPOSITORY} is its name"),
    "not there, in HTML": (Answer(404, "<html>"), f"404: see whether {REPOSITORY} is its name"),
    "invalid": (
        Answer(422, {"message": "Validation Failed", "errors": [{"code": "custom", "message": "too\x1b[1m many"}]}),
        r"422 Validation Failed; too\\x1b\[1m many: see",
    ),
    "another": (Answer(410, {"message": "Gone"}), "410 Gone: see what it says"),
    "renamed": (Answer(301, {"message": "Moved"}, {"Location": "http://127.0.0.1:9/x"}), "the repository has another name"),
    "HTML": (Answer(200, "<html>"), r"what GitHub does not document \(ValidationError\)"),
    "other JSON": (Answer(200, {"id": 1}), r"what GitHub does not document \(ValidationError\)"),
    "no seconds": (Answer(403, {"message": "x"}, {"Retry-After": "Monday"}), r"does not document \(ValueError\)"),
    "an hour": (
        Answer(429, {"message": "secondary rate limit"}, {"Retry-After": "3600"}),
        r"asks for patience \(429 secondary rate limit\), and to wait 3600 s more would pass 10 s",
    ),
    "used up": (
        Answer(403, {"message": "API rate limit exceeded"}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}),
        r"asks for patience \(403 API rate limit exceeded\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("answer, problem", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_said_at_once_with_what_would_help(github: GitHub, log: Log, answer: Answer, problem: str) -> None:
    for ask in (statuses(github).newest, lambda: statuses(github).make(log.signed())):
        github.asked.clear()
        github.answers.append(answer)
        with pytest.raises(AnchorUnavailable, match=problem):
            ask()
        assert len(github.asked) == 1


def test_a_ref_that_is_not_there_is_named(github: GitHub, log: Log) -> None:
    with pytest.raises(
        AnchorUnavailable, match="422 No ref found for: trunk: see whether there is a trunk, and anchors"
    ):
        statuses(github, ref="trunk").make(log.signed())
    assert github.deployments == []


PASSING = {
    "bad gateway": Answer(502, "<html>Bad Gateway</html>"),
    "unavailable": Answer(503, {"message": "Service Unavailable"}),
    "no header": Answer(429, {"message": "Too Many Requests"}),
    "a second": Answer(429, {"message": "wait"}, {"Retry-After": "1"}),
    "secondary": Answer(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "0"}),
}


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_what_passes_is_waited_for(github: GitHub, log: Log, answer: Answer) -> None:
    github.answers.append(answer)
    statuses(github).make(log.signed())

    assert [log.checkpoint()] == github.lines()


@pytest.mark.parametrize("lost", [1, 2])
def test_a_write_whose_reply_was_lost_is_not_made_twice(github: GitHub, log: Log, lost: int) -> None:
    """The first write makes the deployment, the second the status."""
    github.losing = lost
    left = statuses(github).make(log.signed())

    assert [log.checkpoint()] == github.lines()
    assert len(github.deployments) == 1
    assert len(github.writes()) == 2
    assert left == {"receipt": github.statuses[4001][0]["url"]}


def test_what_does_not_pass_ends_in_time(github: GitHub) -> None:
    github.answers += [Answer(503, {"message": "Service Unavailable"})] * 9

    with pytest.raises(
        AnchorUnavailable, match=r"answered 503 Service Unavailable, and to wait 1 s more would pass 1 s"
    ):
        statuses(github, patience_s=1).newest()


def test_slow_answers_end_in_time(github: GitHub) -> None:
    github.slow_s = 0.5

    with pytest.raises(AnchorUnavailable, match=r"gave no answer \(ReadTimeout\)"):
        statuses(github, timeout_s=0.1, patience_s=0.3).newest()


def test_nobody_there_says_so(github: GitHub) -> None:
    gone = GitHub(url="http://127.0.0.1:9")

    with pytest.raises(AnchorUnavailable, match=r"http://127.0.0.1:9 gave no answer \(ConnectError\)"):
        statuses(gone, patience_s=0.1).newest()


def test_a_proxy_is_not_applicable_what_is_on_this_machine(
    github: GitHub, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    statuses(github).make(log.signed())

    assert [log.checkpoint()] == github.lines()


# --- the token


@pytest.mark.parametrize(
    "held, problem", [("", "is not set"), ("a b c d e f", "holds no token"), (f"{TOKEN}\n", "holds no token")]
)
def test_a_missing_token_is_named_and_nobody_is_asked(
    github: GitHub, monkeypatch: pytest.MonkeyPatch, held: str, problem: str
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", held)

    with pytest.raises(AnchorUnavailable, match=f"GITHUB_TOKEN {problem}") as caught:
        statuses(github).newest()
    assert not held.strip() or held.strip() not in str(caught.value)
    assert github.asked == []


def test_no_error_holds_the_token_even_where_github_repeats_it(github: GitHub, log: Log) -> None:
    github.token = "another"
    with pytest.raises(AnchorUnavailable, match=r"401 Bad credentials: (token|Bearer) \[token\]") as caught:
        statuses(github).make(log.signed())

    assert TOKEN not in "".join(map(str, (caught.value, caught.value.__cause__, repr(caught.value))))


def test_a_missing_client_says_what_to_install(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "githubkit", None)

    with pytest.raises(AnchorUnavailable, match=r"pip install 'pytest-deploy\[github\]'"):
        statuses(github).newest()


def test_the_longest_line_that_policy_lets_through_fits(github: GitHub) -> None:
    longest = Checkpoint(f"deploy.example.org/{'x' * 62}", 99_999_999, bytes(32))
    rule = storage.GitHub(repository=REPOSITORY, api=github.url)
    Statuses(rule, longest.origin).make(SignedCheckpoint(longest, bytes(4), bytes(64)))

    assert [len(one) for one in github.lines()] == [140]
    assert [longest.anchor] == github.lines()


# --- who administers the repository


def test_it_tells_who_administers_the_repository_and_nobody_else(github: GitHub) -> None:
    github.collaborators = {"dana-dev": (41, "admin"), "writer": (42, "push"), "keeper": (43, "maintain")}

    assert statuses(github).administrators() == {"dana-dev": 41}


def test_every_page_of_administrators_is_read(github: GitHub) -> None:
    github.largest_page = 2
    github.collaborators = {f"dev-{number}": (number, "admin") for number in range(5)}

    assert statuses(github).administrators() == {f"dev-{number}": number for number in range(5)}


def test_a_token_that_may_not_see_who_administers_it_is_told_what_it_takes(github: GitHub) -> None:
    github.may_write = False

    with pytest.raises(
        AnchorUnavailable, match=r"403 Must have push access .*: the token's owner must be able to write"
    ):
        statuses(github).administrators()
