"""What is asked of a deployment on the command line: what means something, and what is refused before anything is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.plugin import configuration, options

pytest_plugins = ["pytester"]


@pytest.fixture
def configured(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder where a deployment could be asked for; nothing of it is begun."""
    pytester.makepyprojecttoml("[tool.pytest]\nstrict = true\n")
    pytester.mkdir("suites")
    return pytester


def parsed(configured: pytest.Pytester, *words: str) -> pytest.Config:
    """The words with a deployment's own configuration, where they ask for one."""
    ours = configuration.words(configured.path) if any(word.startswith("--deploy-env") for word in words) else []
    return configured.parseconfig(*ours, *words)


def test_the_words_of_a_rehearsal_say_what_it_is(configured: pytest.Pytester) -> None:
    at = datetime.now(UTC) + timedelta(days=2)
    config = parsed(
        configured,
        "--deploy-env=production", "--deploy-pipeline=plan", "--deploy-rehearse", f"--deploy-at={at.isoformat()}",
        "--deploy-set=health.watch_s=1", "--deploy-reason=adds moods", "--deploy-ticket=T-7",
    )  # fmt: skip

    found = options.run_context(config)

    assert found is not None
    assert (
        found.workspace.environment, found.pipeline, found.rehearsal, found.reason, found.ticket,
    ) == ("production", "plan", True, "adds moods", "T-7")  # fmt: skip
    assert found.sets == ("health.watch_s=1",)
    assert found.shift_s == pytest.approx(2 * 86_400, abs=60)


def test_without_an_environment_it_is_no_deployment(configured: pytest.Pytester) -> None:
    assert options.run_context(configured.parseconfig()) is None
    assert options.run_context(parsed(configured, "--deploy-env=local", "--help")) is None, "only help is to be shown"


@pytest.mark.parametrize("name", ["env", "run", "at", "set", "config"])
def test_an_empty_value_is_refused_and_never_read_as_one_that_was_not_given(
    configured: pytest.Pytester, name: str
) -> None:
    """An input of a workflow that nobody filled in: an empty request must not run the only one that waits."""
    with pytest.raises(pytest.UsageError, match=rf"--deploy-{name}: is empty: give a value, or leave the option out"):
        parsed(configured, "--deploy-env=local", f"--deploy-{name}=")


def test_an_empty_reason_or_ticket_is_none(configured: pytest.Pytester) -> None:
    """They may be left out; where policy demands them, what is missing is refused there."""
    found = options.run_context(parsed(configured, "--deploy-env=local", "--deploy-reason=", "--deploy-ticket="))

    assert found is not None
    assert (found.reason, found.ticket) == ("", "")


@pytest.mark.parametrize(
    "words, says",
    [
        (("--deploy-rehearse",), "add --deploy-env=ENV"),
        (("--deploy-pipeline=plan",), "add --deploy-env=ENV"),
        (("--deploy-env=local", "--deploy-pipeline=pq"), "this version runs deploy and plan and smoke and rollback"),
        (
            ("--deploy-env=local", "--deploy-to=1.2.0"),
            "only a rollback goes back, or the plan of one: add --deploy-pipeline=rollback",
        ),
        (
            ("--deploy-env=local", "--deploy-reason=fine\nmissing   nobody"),
            "--deploy-reason holds characters that cannot",
        ),
        (("--deploy-env=local", "--deploy-ticket=\x1b[2J"), "--deploy-ticket holds characters that cannot be shown"),
        (("--deploy-env=local", "--deploy-at=2026-11-23T15:00:00Z"), "--deploy-at is for rehearsals"),
        (("--deploy-env=local", "--deploy-rehearse", "--deploy-at=soon"), "right is an instant with its zone"),
        (("--deploy-env=local", "--deploy-rehearse", "--deploy-at=2026-11-23T15:00:00"), "an instant with its zone"),
    ],
)
def test_what_means_nothing_or_cannot_be_shown_is_refused(
    configured: pytest.Pytester, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(pytest.UsageError) as refused:
        options.run_context(parsed(configured, *words))

    assert says in str(refused.value)
