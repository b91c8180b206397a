"""The text of a first deploy.yaml: short, each line with who told it, and an environment to rehearse production in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import yaml

from pytest_deploy.starter.migration_steps import TOOLS
from pytest_deploy.starter.repository import Repository
from pytest_deploy.starter.schema import Schema
from pytest_deploy.starter.told import TO_BE_SAID
from pytest_deploy.workspace import program_command

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./@%+][A-Za-z0-9_./@%+:=-]*(?<!:)|-{1,2}[A-Za-z0-9][A-Za-z0-9_./=-]*")
_COLUMN: Final = 42
"""Where comments begin."""

_HEAD: Final = """\
# What is deployed, where to, and by which rules. What stands above `environments` holds for each of them; an environment's
# own words win. `_s` are seconds, `_h` hours; paths are relative to this file. An unknown key or two settings that
# contradict each other stop every command, with the line. No secret ever stands here.
"""

_ENVIRONMENTS: Final = """\
environments:

  # This machine: real processes{database}, no account, no approval. Uncommitted changes may be deployed.
  local:
    platform: {{kind: embedded}}
    phases: {{leave_out: [approval, integration]}}
    health: {{watch_s: 2, interval_s: 0.5}}
    dirty_tree: true

  # A plan for the cloud. Both can be rehearsed on this machine as they stand here, with their own rules and two approvals:
  #     {rehearse}
  staging:
    platform: {{kind: google, runtime: container, google: {{project: {name}-staging, region: us-east4}}}}
    record: {{store: gcs, bucket: {name}-staging-record}}
    phases: {{leave_out: [integration]}}
    approval: {{roles: [QA Lead]}}
    freeze_after_rollback: true

  production:
    platform: {{kind: google, runtime: container, google: {{project: {name}-production, region: us-east4}}}}
    record: {{store: gcs, bucket: {name}-production-record}}
    phases: {{leave_out: [integration]}}
    approval: {{roles: [Tech Lead, QA Lead], expires_h: 24}}    # two people, neither who deploys nor an author
    window:                               # {asks} when it may be deployed to, or take it out: any time
      zone: America/New_York
      days: [Monday, Tuesday, Wednesday, Thursday]
      opens: '09:00'
      closes: '15:00'
    blackout: {{holidays: US, calendar: calendar.yaml}}         # {asks} whose holidays count
    rate_limit: {{runs: 1, per_h: 4}}
    staging_smoke: {{environment: staging, within_h: 24}}       # of the same commit and artefact
    traffic: {{steps_percent: [10, 50, 100], settle_s: 20}}
    health: {{watch_s: 300, interval_s: 5, allow_failures: 1}}
    sla_s: 1200
    rollback: {{roles: [Tech Lead], ticket: true}}              # one that is asked for; an automatic one asks nobody
    freeze_after_rollback: true
"""


def policy_text(repository: Repository) -> str:
    """The whole file."""
    name = repository.name.value
    database = "" if repository.schema is None else ", a real PostgreSQL"
    blocks = [
        _HEAD,
        "\n".join(_organisation()),
        "\n".join(_service(repository)),
        "\n".join(_database(repository.schema)),
        "\n".join(_everywhere()),
        _ENVIRONMENTS.format(
            name=name[:_LONGEST_PROJECT].rstrip("-"),
            database=database,
            asks=TO_BE_SAID,
            rehearse=program_command("rehearse", "production"),
        ).rstrip("\n"),
    ]
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


_LONGEST_PROJECT: Final = 18
"""Google's project ids have 30 characters."""


def flow(words: Sequence[str]) -> str:
    """A list of words as deploy.yaml takes it, on one line.

    Example:
        >>> flow(["gunicorn", "parcels:app", "a b"])
        "[gunicorn, 'parcels:app', 'a b']"
    """
    return f"[{', '.join(map(_word, words))}]"


def _word(word: str) -> str:
    if _PLAIN.fullmatch(word) and ":" not in word and yaml.safe_load(word) == word:
        return word
    if word.isprintable():
        return "'" + word.replace("'", "''") + "'"
    return yaml.safe_dump(word, default_style='"', width=10_000).strip()


def _line(said: str, comment: str) -> str:
    return f"{said.ljust(_COLUMN - 2)}  # {comment}" if comment else said


def _organisation() -> Iterator[str]:
    yield "organisation:"
    yield _line("  name: Example", f"{TO_BE_SAID} your organisation, as reports print it")
    yield _line("  domain: deploy.example.org", f"{TO_BE_SAID} a domain of yours: a record is named by it for good")


def _service(repository: Repository) -> Iterator[str]:
    yield "service:"
    yield _line(f"  name: {repository.name.value}", repository.name.comment)
    yield _line(f"  source: {_word(repository.source)}", "what is released, as git tracks it; the checks run there")
    yield _line(f"  command: {flow(repository.command.value)}", repository.command.comment)
    yield _line(f"  health: {_word(repository.health.value)}", repository.health.comment)
    if not repository.checks:
        yield _line(
            "  checks: {}",
            f"{TO_BE_SAID} lint, types and tests, e.g. {{tests: [make, test]}}; without one, none is run",
        )
    else:
        yield _line("  checks:", "before anything is deployed; what is not named is recorded as not run")
        yield from (f"    {name}: {flow(words)}" for name, words in repository.checks.items())
    if repository.is_of_several:
        yield ""
        yield f"# release: {{tag_prefix: {repository.name.value}-}}    # where tags of several services name versions"


def _database(schema: Schema | None) -> Iterator[str]:
    if schema is None:
        yield _line("database: null", "nothing is backed up or migrated; else {migrations: FOLDER}")
        return
    yield "database:"
    if schema.folder is not None:
        yield _line(f"  migrations: {_word(schema.folder)}", f"of {schema.tool}" if schema.tool != "pairs" else "")
    elif schema.tool in TOOLS:
        yield _line("  migrations: null", f"suites/migration runs `{TOOLS[schema.tool].shown}`")
    else:
        yield _line("  migrations: null", f"{TO_BE_SAID} {_WITHOUT_FOLDER.get(schema.tool, _NOTHING)}")
    if schema.group:
        yield _line(f"  service_group: {schema.group}", "the service gets what migrations grant to it")
    else:
        yield _line("  service_group: null", f"{TO_BE_SAID} the group role that migrations make and grant to")


_NOTHING: Final = "a folder of migrations, or a step in suites/migration moves the schema"
_WITHOUT_FOLDER: Final = {
    "pgmigrate": "V0001__name.sql has no way back: write dbmate's `-- migrate:up` and `-- migrate:down`",
    "sql": "these files have no way back: write dbmate's `-- migrate:up` and `-- migrate:down`",
    "dbmate": "the migrations lie outside this folder: name one in it",
    "pairs": "the migrations lie outside this folder: name one in it",
    "prisma": "`prisma migrate deploy` is a step of your own, in suites/migration; its way back another, in suites/rollback",
}


def _everywhere() -> Iterator[str]:
    yield _line("smoke: {budget_s: 60}", "all smoke steps together")
    yield _line("health: {watch_s: 60, interval_s: 2}", "how long the new release is watched")
    yield _line("sla_s: 600", "how long a whole run may take")
