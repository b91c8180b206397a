"""deploy.yaml becomes one frozen policy, or every fault with its line."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.rollout import References
from tests.unit.policy.sample_policy import BASE, PRODUCTION, written


def faults(folder: Path, text: str, environment: str = "local", sets: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    """(line, key) of every fault of a text."""
    path = written(folder, text)
    with pytest.raises(ConfigurationError) as raised:
        load(path, environment, sets)
    assert raised.value.exit_code == 4
    assert {str(path)} | {"--deploy-set"} >= {fault.file for fault in raised.value.faults}
    return [(fault.line or 0, fault.key) for fault in raised.value.faults]


def test_a_valid_file_is_a_policy(tmp_path: Path) -> None:
    policy = load(written(tmp_path), "local")

    assert policy.environment == "local"
    assert policy.service.command == ("python", "-m", "diary")
    assert policy.sla_s == 600
    assert policy.window is None


def test_a_policy_cannot_be_changed(tmp_path: Path) -> None:
    policy = load(written(tmp_path), "local")

    with pytest.raises(ValidationError, match="frozen"):
        policy.sla_s = 1  # type: ignore[misc]


def test_the_window_keeps_its_zone_and_hours(tmp_path: Path) -> None:
    window = load(written(tmp_path, BASE + PRODUCTION), "production").window

    assert window is not None
    assert ("America/New_York", time(9), time(15), 6 * 3600) == (
        window.zone, window.opens, window.closes, window.length_s
    )  # fmt: skip


def test_an_environment_wins_over_the_top_level_key_by_key(tmp_path: Path) -> None:
    text = "smoke: {budget_s: 100, query_s: 1}\n" + BASE + "    smoke: {query_s: 2}\n"

    assert ((smoke := load(written(tmp_path, text), "local").smoke).budget_s, smoke.query_s) == (100, 2)


def test_extends_starts_from_another_environment(tmp_path: Path) -> None:
    text = BASE + PRODUCTION + "  sponsor:\n    extends: production\n    window: {closes: '12:00'}\n"
    policy = load(written(tmp_path, text), "sponsor")

    assert policy.window is not None
    assert ("sponsor", time(9), time(12)) == (policy.environment, policy.window.opens, policy.window.closes)
    assert policy.approval.roles == ("Tech Lead", "QA Lead")


def test_extends_reaches_through_several(tmp_path: Path) -> None:
    text = BASE + "  one:\n    extends: local\n    sla_s: 601\n  two: {extends: one}\n"

    assert load(written(tmp_path, text), "two").sla_s == 601


def test_the_origin_names_organisation_and_environment(tmp_path: Path) -> None:
    policy = load(written(tmp_path), "local")

    assert policy.origin() == "deploy.example.org/local"
    assert policy.origin(rehearsal=True) == "deploy.example.org/rehearsal/local"


def test_references_are_a_line_each_or_none(tmp_path: Path) -> None:
    letter = "Letter to FDA of 15 January 2026, " + "x" * 266
    text = BASE.replace("name: Example", f"name: Example, references: {{letter_to_fda: '{letter}'}}")

    assert load(written(tmp_path, text), "local").organisation.references == References(letter_to_fda=letter)
    assert load(written(tmp_path), "local").organisation.references == References(training=None, letter_to_fda=None)


def test_the_digest_is_that_of_the_canonical_bytes(tmp_path: Path) -> None:
    policy = load(written(tmp_path, BASE + PRODUCTION), "production")

    assert hashlib.sha256(policy.canonical()).hexdigest() == policy.digest()
    assert b'"opens":"09:00"' in policy.canonical()
    assert policy.canonical().isascii()


def test_what_says_nothing_of_requirements_and_secrets_has_the_text_it_had_before_there_were_the_keys(
    tmp_path: Path,
) -> None:
    without = load(written(tmp_path), "local")
    saying = load(written(tmp_path, BASE + "requirements: spec/parcels.md\nsecrets: [API_TOKEN]\n"), "local")

    assert (without.requirements, without.secrets) == (None, ("SMOKE_USER", "SMOKE_PASSWORD"))
    assert (saying.requirements, saying.secrets) == ("spec/parcels.md", ("API_TOKEN",))
    assert not {"requirements", "secrets"} & json.loads(without.canonical()).keys()
    assert {"requirements", "secrets"} <= json.loads(saying.canonical()).keys()


def test_what_says_nothing_of_the_trial_has_the_text_it_had_before_there_were_the_keys(tmp_path: Path) -> None:
    without = load(written(tmp_path), "local")
    saying = load(written(tmp_path), "local", ["database.trial=beside", "database.seeds=rows"])

    assert without.database is not None
    assert (without.database.trial, without.database.seeds) == (None, None)
    assert not {"trial", "seeds"} & json.loads(without.canonical())["database"].keys()
    assert (
        json.loads(saying.canonical())["database"] | {"trial": "beside", "seeds": "rows"}
        == json.loads(saying.canonical())["database"]
    )


@pytest.mark.parametrize(
    "said,key,problem",
    [
        ("secrets: [api_token]", "secrets", "'api_token' is no name of a secret; use capitals, digits and _"),
        ("secrets: [DATABASE_URL]", "secrets", "DATABASE_URL is what programs get besides"),
        ("secrets: [API_TOKEN, API_TOKEN]", "secrets", "API_TOKEN more than once"),
        ("requirements: ../parcels.md", "requirements", "leads out of the folder of deploy.yaml"),
        ("requirements: /parcels.md", "requirements", "leads out of the folder of deploy.yaml"),
    ],
)
def test_what_names_no_secret_and_no_file_of_the_repository_is_refused(
    tmp_path: Path, said: str, key: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=f" {key}: .*{problem}"):
        load(written(tmp_path, f"{BASE}{said}\n"), "local")


def test_the_digest_is_of_the_meaning_not_the_spelling(tmp_path: Path) -> None:
    respelled = BASE.replace("{watch_s: 2, interval_s: 0.5}", "\n      interval_s: 0.50\n      watch_s: 2.0 # seconds")

    assert load(written(tmp_path), "local").digest() == load(written(tmp_path, respelled), "local").digest()


@settings(max_examples=20)
@given(sla=st.integers(min_value=183, max_value=10**6))
def test_another_policy_has_another_digest(tmp_path_factory: pytest.TempPathFactory, sla: int) -> None:
    path = written(tmp_path_factory.mktemp("policy"))
    same = load(path, "local").digest() == load(path, "local", [f"sla_s={sla}"]).digest()

    assert not same  # the settings are part of it, so that even a repeated value is seen


ONE_FAULT = {
    "unknown key at the top": (BASE.replace("database:", "databse:"), [(10, "databse"), (14, "environments.local.database")]),
    "unknown key in a section": (BASE + "    smoke: {budgets: 3}\n", [(18, "environments.local.smoke.budgets")]),
    "unknown section": (BASE + "    windw: null\n", [(18, "environments.local.windw")]),
    "environment as a key": (BASE + "    environment: x\n", [(18, "environments.local.environment")]),
    "text for a number": (BASE.replace("sla_s: 600", "sla_s: '600'"), [(17, "environments.local.sla_s")]),
    "number for a text": (BASE.replace("name: diary", "name: 7"), [(3, "service.name")]),
    "number for a flag": (BASE + "    dirty_tree: 1\n", [(18, "environments.local.dirty_tree")]),
    "word for a flag": (BASE + "    dirty_tree: yes\n", [(18, "environments.local.dirty_tree")]),
    "text for a list": (BASE.replace("[ruff, check, .]", "ruff check ."), [(7, "service.checks.lint")]),
    "empty command": (BASE.replace("[python, -m, diary]", "[]"), [(5, "service.command")]),
    "list for a mapping": (BASE.replace("{kind: embedded}", "[embedded]"), [(12, "platform")]),
    "number in a list": (BASE.replace("[python, -m, diary]", "[python, 3]"), [(5, "service.command[1]")]),
    "fraction for a count": (BASE.replace("interval_s: 0.5", "interval_s: 0.5, allow_failures: 0.5"),
                             [(16, "environments.local.health.allow_failures")]),
    "no seconds": (BASE.replace("sla_s: 600", "sla_s: 0"), [(17, "environments.local.sla_s")]),
    "word for a number in a range": (BASE.replace("migrations: migrations", "migrations: migrations\n  restore_rate: 2"),
                                     [(12, "database.restore_rate")]),
    "null for a section": (BASE.replace("{kind: embedded}", "null"), [(12, "platform")]),
    "empty text": (BASE.replace("name: Example", "name: ''"), [(1, "organisation.name")]),
    "blank text": (BASE.replace("name: Example", "name: ' '"), [(1, "organisation.name")]),
    "reference of two lines": (BASE.replace("name: Example", 'name: Example, references: {training: "a\\nb"}'), [(1, "organisation.references.training")]),
    "reference without end": (BASE.replace("name: Example", f"name: Example, references: {{letter_to_fda: {'x' * 301}}}"), [(1, "organisation.references.letter_to_fda")]),
    "empty reference": (BASE.replace("name: Example", "name: Example, references: {training: ''}"), [(1, "organisation.references.training")]),
    "unknown reference": (BASE.replace("name: Example", "name: Example, references: {sop: x}"), [(1, "organisation.references.sop")]),
    "no domain": (BASE.replace("deploy.example.org", "https://x"), [(1, "organisation.domain")]),
    "health without slash": (BASE.replace("  source:", "  health: up\n  source:"), [(4, "service.health")]),
    "path out of the folder": (BASE.replace("migrations: migrations", "migrations: ../m"), [(11, "database.migrations")]),
    "source that climbs in its midst": (BASE.replace("examples/diary", "a/../../diary"), [(4, "service.source")]),
    "path of a machine": (BASE.replace("migrations: migrations", "migrations: /srv/m"), [(11, "database.migrations")]),
    "unknown platform": (BASE.replace("kind: embedded", "kind: moon"), [(12, "platform.kind")]),
    "variable that is no text": (BASE.replace("  source:", "  env: {FAULT: 1}\n  source:"), [(4, "service.env.FAULT")]),
    "variable with a bad name": (BASE.replace("  source:", "  env: {A B: x}\n  source:"), [(4, "service.env.A B")]),
    "program that judges nothing": (BASE.replace("platform:", "programs: {sed: /usr/bin/sed}\nplatform:"), [(12, "programs.sed")]),
    "program on PATH": (BASE.replace("platform:", "programs: {git: git}\nplatform:"), [(12, "programs.git")]),
    "another program": (BASE.replace("platform:", "programs: {git: /opt/tools/bin/gti}\nplatform:"), [(12, "programs.git")]),
    "the same table twice": (BASE.replace("migrations: migrations", "migrations: migrations\n  required: {tables: [a.b, a.b]}"),
                             [(12, "database.required.tables")]),
    "lock longer than the budget": (BASE.replace("migrations: migrations", "migrations: migrations\n  lock_timeout_s: 301"),
                                    [(12, "database.lock_timeout_s")]),
    "missing section": (BASE.replace("    sla_s: 600\n", ""), [(14, "environments.local.sla_s")]),
    "missing key": (BASE.replace("  source: examples/diary\n", ""), [(2, "service.source")]),
    "duplicate key": (BASE + "    sla_s: 601\n", [(18, "environments.local.sla_s")]),
    "unknown phase": (BASE.replace("[approval]", "[approval, smoek]"), [(15, "environments.local.phases.leave_out[1]")]),
    "phase that must stay": (BASE.replace("[approval]", "[approval, smoke]"), [(15, "environments.local.phases.leave_out[1]")]),
    "phase left out twice": (BASE.replace("[approval]", "[approval, approval]"), [(15, "environments.local.phases.leave_out")]),
    "approval by nobody": (BASE.replace("[approval]", "[]"), [(14, "environments.local.approval.roles")]),
    "approval that nobody asks": (BASE + "    approval: {roles: [QA Lead]}\n", [(15, "environments.local.phases.leave_out")]),
    "guarded without backup": (BASE.replace("[approval]", "[approval, backup]") + "    rate_limit: {runs: 1, per_h: 4}\n",
                               [(15, "environments.local.phases.leave_out")] * 2),
    "traffic that falls": (BASE + "    traffic: {steps_percent: [50, 20, 100]}\n", [(18, "environments.local.traffic.steps_percent")]),
    "traffic that stops": (BASE + "    traffic: {steps_percent: [50]}\n", [(18, "environments.local.traffic.steps_percent")]),
    "traffic from nothing": (BASE + "    traffic: {steps_percent: [0, 100]}\n", [(18, "environments.local.traffic.steps_percent")]),
    "no traffic": (BASE + "    traffic: {steps_percent: []}\n", [(18, "environments.local.traffic.steps_percent")]),
    "smoke longer than the run": (BASE + "    smoke: {budget_s: 601}\n", [(18, "environments.local.smoke.budget_s")]),
    "waits longer than the run": (BASE.replace("watch_s: 2", "watch_s: 500"), [(17, "environments.local.sla_s")]),
    "watch without a sample": (BASE.replace("interval_s: 0.5", "interval_s: 3"), [(16, "environments.local.health.interval_s")]),
    "watch that cannot fail": (BASE.replace("0.5}", "0.5, allow_failures: 4}"), [(16, "environments.local.health.allow_failures")]),
    "retention below seven years": (BASE + "    retention: {days: 2556}\n", [(18, "environments.local.retention.days")]),
    "embedded with Google settings": (BASE.replace("embedded}", "embedded, google: {project: p, region: r}}"), [(12, "platform.google")]),
    "Google without settings": (BASE.replace("kind: embedded", "kind: google, runtime: container"), [(12, "platform.google")]),
    "Google without containers": (BASE.replace("embedded}", "google, google: {project: p, region: r}}"), [(12, "platform.runtime")]),
    "dirty tree in the cloud": (BASE.replace("embedded}", "google, runtime: container, google: {project: p, region: r}}")
                                + "    dirty_tree: true\n    record: {store: gcs, bucket: abc}\n", [(18, "environments.local.dirty_tree")]),
    "smoked by an unknown environment": (BASE.replace("[approval]", "[]")
                                         + "    approval: {roles: [QA]}\n    staging_smoke: {environment: stage, within_h: 24}\n",
                                         [(19, "environments.local.staging_smoke.environment")]),
    "smoked by itself": (BASE.replace("[approval]", "[]")
                         + "    approval: {roles: [QA]}\n    staging_smoke: {environment: local, within_h: 24}\n",
                         [(19, "environments.local.staging_smoke.environment")]),
    "extends nothing": (BASE + "    extends: locl\n", [(18, "environments.local.extends")]),
    "extends a list": (BASE + "    extends: [local]\n", [(18, "environments.local.extends")]),
    "extends itself": (BASE + "    extends: local\n", [(18, "environments.local.extends")]),
    "environment without content": (BASE + "  empty:\n", [(18, "environments.empty")]),
    "extends an environment without content": (BASE + "    extends: empty\n  empty:\n", [(19, "environments.empty")]),
    "environment with capitals": (BASE.replace("  local:", "  Local:"), [(14, "environments.Local"), (13, "environments")]),
    "environment named like a rehearsal": (BASE + "  rehearsal-x: {extends: local}\n", [(18, "environments.rehearsal-x")]),
    "no environments": (BASE[: BASE.index("environments:")], [(1, "environments")]),
    "environments empty": (BASE[: BASE.index("  local:")], [(13, "environments")]),
    "a list": ("- 1\n", [(1, "")]),
    "nothing at all": ("", [(0, "")]),
    "tab": (BASE.replace("  name: diary", "\tname: diary"), [(3, "")]),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_FAULT)
def test_a_fault_has_its_line_and_key(tmp_path: Path, name: str) -> None:
    text, expected = ONE_FAULT[name]

    assert sorted(expected) == sorted(faults(tmp_path, text))


@pytest.mark.parametrize(
    "old,new,line,key",
    [
        ("      zone: America/New_York\n", "", 21, "window.zone"),
        ("zone: America/New_York", "zone: Amerika/New_York", 22, "window.zone"),
        ("zone: America/New_York", "zone: EST", 22, "window.zone"),
        ("zone: America/New_York", "zone: ../etc/passwd", 22, "window.zone"),
        ("zone: America/New_York", "zone: America", 22, "window.zone"),
        ("[Monday, Tuesday]", "[Monday, Tue]", 23, "window.days[1]"),
        ("[Monday, Tuesday]", "[Monday, Monday]", 23, "window.days"),
        ("[Monday, Tuesday]", "[]", 23, "window.days"),
        ("'09:00'", "9:00", 24, "window.opens"),
        ("'09:00'", "9", 24, "window.opens"),
        ("'15:00'", "24:00", 25, "window.closes"),
        ("'15:00'", "'09:00'", 25, "window.closes"),
        ("'15:00'", "'08:59'", 25, "window.closes"),
        ("'15:00'", "'09:19'", 25, "window.closes"),
        ("approval: {roles: [Tech Lead, QA Lead]}", "approval: {roles: []}", 20, "approval.roles"),
        (
            "    approval: {roles: [Tech Lead, QA Lead]}\n",
            "    phases: {leave_out: [approval]}\n",
            20,
            "phases.leave_out",
        ),
    ],
)
def test_production_keeps_its_window_and_approvals(tmp_path: Path, old: str, new: str, line: int, key: str) -> None:
    assert old in PRODUCTION

    assert [(line, f"environments.production.{key}")] == faults(tmp_path, BASE + PRODUCTION.replace(old, new))


def test_a_window_as_long_as_a_run_is_long_enough(tmp_path: Path) -> None:
    policy = load(written(tmp_path, BASE + PRODUCTION.replace("'15:00'", "09:20")), "production")

    assert policy.window is not None
    assert policy.sla_s == policy.window.length_s


def test_every_fault_of_every_environment_is_listed_at_once(tmp_path: Path) -> None:
    text = (
        BASE.replace("name: diary", "nme: diary").replace("sla_s: 600", "sla_s: long")
        + PRODUCTION.replace("      zone: America/New_York\n", "")
        + "  other: {extends: nowhere}\n"
    )

    assert {
        (2, "service.name"),
        (3, "service.nme"),
        (17, "environments.local.sla_s"),
        (21, "environments.production.window.zone"),
        (28, "environments.other.extends"),
        (28, "environments.other.health"),
        (28, "environments.other.sla_s"),
        (13, "environments"),
    } <= set(faults(tmp_path, text, "prodution"))


def test_a_fault_at_the_top_level_is_reported_once(tmp_path: Path) -> None:
    assert faults(tmp_path, BASE.replace("embedded", "moon") + "  other: {extends: local}\n") == [(12, "platform.kind")]


def test_a_circle_of_extends_is_a_fault_of_each_in_it(tmp_path: Path) -> None:
    text = BASE + "    extends: two\n  two: {extends: three}\n  three: {extends: local}\n"
    found = faults(tmp_path, text)

    assert {
        (18, "environments.local.extends"),
        (19, "environments.two.extends"),
        (20, "environments.three.extends"),
    } <= set(found)


def message(path: Path, environment: str, sets: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load(path, environment, sets)
    return str(raised.value)


def test_an_unknown_environment_is_answered_with_those_there_are(tmp_path: Path) -> None:
    said = message(written(tmp_path, BASE + PRODUCTION), "prod")

    assert "there is no environment 'prod'; did you mean 'production'? known: local, production" in said


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path: Path) -> None:
    text = BASE + PRODUCTION.replace("closes:", "close:")

    assert "environments.production.window.close: unknown key; did you mean 'closes'?" in message(
        written(tmp_path, text), "local"
    )


def test_an_unknown_key_like_no_other_is_answered_with_those_there_are(tmp_path: Path) -> None:
    assert "unknown key; known: budget_s, query_s" in message(
        written(tmp_path, BASE + "    smoke: {zzz: 1}\n"), "local"
    )


def test_a_missing_key_is_answered_with_what_belongs_there(tmp_path: Path) -> None:
    text = BASE + PRODUCTION.replace("      zone: America/New_York\n", "")

    assert (
        "window.zone: missing; give the IANA zone of the hours, e.g. America/New_York; there is no default"
        in message(written(tmp_path, text), "local")
    )


def test_a_wrong_value_is_shown_with_what_belongs_there(tmp_path: Path) -> None:
    assert "sla_s: is the text 'soon', not a number; give seconds the whole run may take" in message(
        written(tmp_path, BASE.replace("sla_s: 600", "sla_s: soon")), "local"
    )


@pytest.mark.parametrize(
    "old,new,said",
    [
        ("sla_s: 600", "sla_s: -1", "sla_s: is the number -1, not above 0"),
        ("sla_s: 600", "sla_s: true", "sla_s: is true, not a number"),
        ("sla_s: 600", "sla_s: [1]", "sla_s: is a list, not a number"),
        ("sla_s: 600", "sla_s: {a: 1}", "sla_s: is keys with values, not a number"),
        ("sla_s: 600", "sla_s:", "sla_s: is null, not a number"),
        ("kind: embedded", "kind: moon", "platform.kind: is the text 'moon', not 'embedded' or 'google'"),
        ("[python, -m, diary]", "[]", "service.command: is empty; give what starts the service"),
        ("name: diary", "name: Diary", "service.name: is the text 'Diary', not what may stand here; give lower-case"),
    ],
)
def test_a_wrong_value_is_told_in_words(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in message(written(tmp_path, BASE.replace(old, new)), "local")


def test_a_wrong_value_of_a_variable_is_not_shown(tmp_path: Path) -> None:
    said = message(written(tmp_path, BASE.replace("  source:", "  env: {TOKEN: 31415926}\n  source:")), "local")

    assert "service.env.TOKEN" in said
    assert "31415926" not in said


def test_the_path_is_shown_as_it_would_be_typed(tmp_path: Path) -> None:
    path = written(tmp_path, "- 1\n")
    before = Path.cwd()
    try:
        os.chdir(tmp_path)
        said = message(path, "local")
    finally:
        os.chdir(before)

    assert said.startswith("deploy.yaml: 1 fault\n  deploy.yaml:1: ")


def test_a_missing_file_is_a_fault_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file") as raised:
        load(tmp_path / "deploy.yaml", "local")

    assert [fault.line for fault in raised.value.faults] == [None]


def test_a_file_that_is_not_utf8_is_a_fault_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_bytes(b"a: 1\nb: \xff\n")

    with pytest.raises(ConfigurationError, match=r"deploy\.yaml:2: is not UTF-8"):
        load(tmp_path / "deploy.yaml", "local")


def test_a_blackout_takes_its_zone_from_the_window_or_a_calendar_and_has_one(tmp_path: Path) -> None:
    black = "    blackout: {holidays: US}\n"
    with_calendar = "    blackout: {holidays: US, calendar: calendar.yaml}\n"

    assert load(written(tmp_path, BASE + PRODUCTION + black), "production").blackout is not None
    assert load(written(tmp_path, BASE + with_calendar), "local").blackout is not None
    assert "blackout.calendar: neither a window nor a calendar says in which zone" in message(
        written(tmp_path, BASE + black), "local"
    )


def test_incidents_that_nothing_tells_of_are_not_asked_about(tmp_path: Path) -> None:
    asked = "    incidents: {within_h: 24}\n"
    told = "    incidents: {within_h: 24, command: [cat, incidents.json]}\n"

    said = message(written(tmp_path, BASE + asked), "local")
    assert "incidents.command: incidents are asked about, and nothing says which there are" in said
    assert f"deploy.yaml:{(BASE + asked).splitlines().index(asked.rstrip()) + 1}: " in said
    assert "leave the rule out" in said
    assert load(written(tmp_path, BASE + told), "local").incidents is not None


# --- a database that is there already


def with_url(url: str) -> str:
    return BASE.replace("  migrations: migrations\n", f"  migrations: migrations\n  url: {url!r}\n")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://deployer@db.example.org:5433/parcels?sslmode=verify-full",
        "postgres:///parcels",
        "postgresql://deployer@/parcels?host=/var/run/postgresql",
        "postgresql://db.example.org",
    ],
)
def test_a_database_that_is_there_already_is_named_by_its_url(tmp_path: Path, url: str) -> None:
    assert _url(load(written(tmp_path, with_url(url)), "local")) == url


@pytest.mark.parametrize(
    "url, said",
    [
        (
            "postgresql://deployer:s3cret-word@db.example.org/parcels",
            "holds a password, and everybody reads this file; take",
        ),
        (
            "postgresql://db.example.org/parcels?password=s3cret-word",
            "holds a password, and everybody reads this file; take",
        ),
        ("mysql://db.example.org/parcels", "is no URL of a PostgreSQL database; give postgresql://USER@HOST"),
        ("postgresql://deployer:s3cret-word@[/parcels", "libpq cannot read this URL; give postgresql://USER@HOST"),
        (
            "postgresql://deployer:1234/s3cret-word@db/parcels",
            "has an @ or a / that libpq takes for another one: write %40",
        ),
        ("postgresql://deployer@db.example.org/postgres", "names the server's own database postgres; name a database"),
    ],
)
def test_a_url_is_refused_with_a_password_and_what_names_no_database(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(written(tmp_path, with_url(url)), "local")
    (fault,) = raised.value.faults
    assert fault.key == "database.url"
    assert said in str(fault)
    assert "s3cret-word" not in str(raised.value)
    assert "PGPASSFILE" in fault.remedy or "password" not in said


def test_a_rehearsal_leaves_the_environments_database_alone(tmp_path: Path) -> None:
    file = written(tmp_path, with_url("postgresql://db.example.org/parcels") + PRODUCTION)
    policy = load(file, "production", rehearsal=True)
    assert _url(policy) is None
    assert policy.substituted["database.url"] == {"policy": "postgresql://db.example.org/parcels", "used": None}
    with pytest.raises(ConfigurationError, match="a rehearsal has a database of its own"):
        load(file, "production", ["database.url=postgresql://db.example.org/parcels"], rehearsal=True)
    assert _url(load(file, "local", ["database.url=postgresql:///other"])) == "postgresql:///other"


def with_variable(name: str) -> str:
    return BASE.replace("  migrations: migrations\n", f"  migrations: migrations\n  url_variable: {name!r}\n")


def test_a_variable_may_name_the_database_and_a_rehearsal_does_not_ask_it(tmp_path: Path) -> None:
    plain = load(written(tmp_path), "local").canonical()
    file = written(tmp_path, with_variable("PARCELS_DATABASE_URL") + PRODUCTION)

    policy, rehearsed = load(file, "local"), load(file, "production", rehearsal=True)

    assert policy.database is not None
    assert policy.database.url_variable == "PARCELS_DATABASE_URL"
    assert b"url_variable" in policy.canonical()
    assert b"url_variable" not in plain, "policies without one keep their digest"
    assert rehearsed.database is not None
    assert rehearsed.database.url_variable is None
    assert rehearsed.substituted["database.url_variable"] == {"policy": "PARCELS_DATABASE_URL", "used": None}
    with pytest.raises(ConfigurationError, match="a rehearsal has a database of its own"):
        load(file, "production", ["database.url_variable=OTHER_URL"], rehearsal=True)


def test_a_url_in_place_of_a_variables_name_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no name of an environment variable; give the") as raised:
        load(written(tmp_path, with_variable("postgresql://deployer:s3cret-word@db/parcels")), "local")
    assert "s3cret-word" not in str(raised.value)


def test_a_database_is_named_once(tmp_path: Path) -> None:
    text = with_variable("PARCELS_DATABASE_URL").replace("  url_var", "  url: postgresql:///parcels\n  url_var")

    assert faults(tmp_path, text) == [(13, "database.url_variable")]


OTHER = "  local-two: {extends: local}\n"


@pytest.mark.parametrize("own", ["", "    database: {url: 'postgresql://other@db.example.org/parcels'}\n"])
def test_two_environments_of_this_machine_do_not_share_a_database(tmp_path: Path, own: str) -> None:
    """Whoever connects: each would find the other's migrations."""
    path = written(tmp_path, with_url("postgresql://db.example.org/parcels") + own + OTHER)

    with pytest.raises(
        ConfigurationError, match="local and local-two have one database, parcels; give each a database"
    ):
        load(path, "local")


@pytest.mark.parametrize(
    "text",
    [
        with_url("postgresql://db.example.org/parcels") + PRODUCTION,  # which is not of this machine
        with_url("postgresql://db.example.org") + OTHER,  # each is called SERVICE_ENVIRONMENT
        with_url("postgresql://db.example.org/one")
        + "  two: {extends: local, database: {url: 'postgresql://db.example.org/two'}}\n",
        with_variable("PARCELS_DATABASE_URL") + OTHER,  # it may hold another address for each
    ],
)
def test_environments_whose_databases_are_their_own_may_stand_beside_each_other(tmp_path: Path, text: str) -> None:
    assert load(written(tmp_path, text), "local").environment == "local"


def _url(policy: Policy) -> str | None:
    assert policy.database is not None
    return policy.database.url


LATER_OF_THE_WATCH = ("health_words", "of_last", "min_samples", "deadline_s", "max_body_bytes")


def test_a_policy_that_says_nothing_of_the_later_keys_of_the_watch_keeps_its_digest(tmp_path: Path) -> None:
    plain = load(written(tmp_path), "local")
    said = load(
        written(tmp_path, BASE.replace("interval_s: 0.5}", "interval_s: 0.5, of_last: 3, deadline_s: 5}")), "local"
    )

    assert [key for key in LATER_OF_THE_WATCH if f'"{key}"'.encode() in plain.canonical()] == []
    assert b'"deadline_s":5.0' in said.canonical()
    assert plain.digest() != said.digest()


@pytest.mark.parametrize(
    "health, needed",
    [
        ("watch_s: 90, interval_s: 1", 45),
        ("watch_s: 2, interval_s: 0.5, allow_failures: 3", 4),
        ("watch_s: 10, interval_s: 1, min_samples: 9", 9),
        ("watch_s: 0.2, interval_s: 0.1", 1),
    ],
)
def test_a_watch_needs_half_of_its_samples_and_more_than_may_fail(tmp_path: Path, health: str, needed: int) -> None:
    text = BASE.replace("watch_s: 2, interval_s: 0.5", health)

    assert load(written(tmp_path, text), "local").health.needed_samples == needed


@pytest.mark.parametrize(
    "more, key",
    [
        ("min_samples: 5", "min_samples"),
        ("allow_failures: 2, min_samples: 2", "min_samples"),
        ("allow_failures: 1, of_last: 1", "allow_failures"),
        ("max_body_bytes: 0", "max_body_bytes"),
        ("deadline_s: 0", "deadline_s"),
    ],
)
def test_a_watch_that_cannot_fail_or_cannot_pass_is_refused(tmp_path: Path, more: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(written(tmp_path, BASE.replace("interval_s: 0.5}", f"interval_s: 0.5, {more}}}")), "local")

    assert [fault.key for fault in refused.value.faults] == [f"environments.local.health.{key}"]
