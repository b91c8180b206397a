"""A small valid deploy.yaml, for tests that spoil one thing in it."""

from __future__ import annotations

import textwrap
from pathlib import Path

BASE = textwrap.dedent(
    """\
    organisation: {name: Example, domain: deploy.example.org}
    service:
      name: diary
      source: examples/diary
      command: [python, -m, diary]
      checks:
        lint: [ruff, check, .]
        types: [mypy, .]
        tests: [pytest, -q]
    database:
      migrations: migrations
    platform: {kind: embedded}
    environments:
      local:
        phases: {leave_out: [approval]}
        health: {watch_s: 2, interval_s: 0.5}
        sla_s: 600
    """
)

PRODUCTION = textwrap.indent(
    textwrap.dedent(
        """\
        production:
          platform: {kind: google, runtime: container, google: {project: example, region: us-east4}}
          approval: {roles: [Tech Lead, QA Lead]}
          window:
            zone: America/New_York
            days: [Monday, Tuesday]
            opens: '09:00'
            closes: '15:00'
          health: {watch_s: 900, interval_s: 10}
          sla_s: 1200
          record: {store: gcs, bucket: example-record}
        """
    ),
    "  ",
)


def written(folder: Path, text: str = BASE) -> Path:
    """The text as a deploy.yaml in a folder of its own."""
    path = folder / "deploy.yaml"
    path.write_text(text, encoding="utf-8")
    return path
