"""REQ-o00043-E: lint, type check and tests of the service, as deploy.yaml names them, in its own folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest

from pytest_deploy import Policy, StepRecord, find_program, run_bounded, search_path

Check = Callable[[Sequence[str] | None], None]

pytestmark = [pytest.mark.requirement("REQ-o00043-E"), pytest.mark.step(timeout=600)]


@pytest.fixture
def check(policy: Policy, record: StepRecord, pytestconfig: pytest.Config) -> Check:
    """Run one configured command and keep what it said, of a flood both ends; it fails with the command's last words."""
    folder = pytestconfig.rootpath / policy.service.source
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "COVERAGE_"))}
    kept["PATH"] = search_path(kept)

    def run(words: Sequence[str] | None) -> None:
        if words is None:
            record.not_applicable("deploy.yaml names no such check: service.checks")
        ran = run_bounded(
            find_program(words, folder=folder, path=kept["PATH"], setting="service.checks"),
            cwd=folder,
            env=kept,
            timeout_s=policy.service.check_timeout_s,
        )
        said = (ran.stdout.text + ran.stderr.text).strip()
        record.attach(f"checks/{record.step.title.replace(' ', '-')}.txt", f"{said}\n".encode())
        # The last line is where linters and test runners count what they looked at.
        last = said.rpartition("\n")[2]
        record.expect({"exit": 0}, {"command": list(words), "exit": ran.code, "last_line": last})
        if ran.code:
            shown = "\n".join(said.splitlines()[-30:])
            pytest.fail(f"{' '.join(words)} in {policy.service.source}: exit {ran.code}\n{shown}", pytrace=False)
        if not policy.replaced("service.checks"):  # or `true` would stand for them
            record.verified()

    return run


def test_lint_finds_nothing(check: Check, policy: Policy) -> None:
    check(policy.service.checks.lint)


def test_types_are_sound(check: Check, policy: Policy) -> None:
    check(policy.service.checks.types)


def test_unit_tests_pass(check: Check, policy: Policy) -> None:
    check(policy.service.checks.tests)
