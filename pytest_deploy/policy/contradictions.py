"""Settings that are each right and cannot stand together. The parameters of a rule are the sections it reads.

A rule is asked only where all its sections are valid by themselves, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from pytest_deploy.policy.policy import Administrators, Approval, Blackout, Incidents, Phases, StagingSmoke, Window
from pytest_deploy.policy.rollout import Health, Organisation, Platform, Smoke, Traffic
from pytest_deploy.policy.storage import Anchors, Record, Retention


@dataclass(frozen=True)
class Contradiction:
    """What does not go together, and where to mend it."""

    at: tuple[str, ...]
    problem: str
    remedy: str


def approval_roles_match_the_phase(approval: Approval, phases: Phases) -> Iterator[Contradiction]:
    """Who must sign and whether anybody is asked agree."""
    needed = "approval" not in phases.leave_out
    if needed and not approval.roles:
        yield Contradiction(
            ("approval", "roles"),
            "approval is asked for and no role gives it",
            "name the roles, or leave the approval phase out under phases.leave_out",
        )
    if not needed and approval.roles:
        yield Contradiction(
            ("phases", "leave_out"),
            f"the approval phase is left out, so that {', '.join(approval.roles)} would never be asked",
            "keep the phase, or set approval.roles: []",
        )


def production_rules_need_approval_and_backup(
    phases: Phases, window: object, rate_limit: object, staging_smoke: object, deployer: object
) -> Iterator[Contradiction]:
    """An environment with rules like production's keeps its approval and its backup (REQ-o00043-C, o00044-J)."""
    rules = {"window": window, "rate_limit": rate_limit, "staging_smoke": staging_smoke, "deployer": deployer}
    present = [name for name, rule in rules.items() if rule is not None]
    for phase in ("approval", "backup"):
        if present and phase in phases.leave_out:
            yield Contradiction(
                ("phases", "leave_out"),
                f"an environment guarded by {', '.join(present)} cannot go without {phase}",
                f"take {phase} out of leave_out",
            )


def administrators_are_of_a_database(
    administrators: Administrators | None, database: object
) -> Iterator[Contradiction]:
    """Who administers the database is listed where there is one."""
    if administrators is not None and administrators.database is not None and database is None:
        yield Contradiction(
            ("administrators", "database"),
            "administrators of a database are listed, and database is null",
            "leave administrators.database out",
        )


def fits_the_window(window: Window | None, sla_s: float) -> Iterator[Contradiction]:
    """A run must fit inside the window, so the window must be as long as the longest run."""
    if window is not None and sla_s > window.length_s:
        yield Contradiction(
            ("window", "closes"),
            f"the window is open for {window.length_s} s, a run may take {sla_s:g} s",
            "widen the window or shorten sla_s",
        )


def fits_the_sla(sla_s: float, smoke: Smoke, traffic: Traffic, health: Health) -> Iterator[Contradiction]:
    """What policy makes a run wait for ends before the time it allows the run."""
    waits = {
        ("smoke", "budget_s"): smoke.budget_s,
        ("traffic", "settle_s"): traffic.settling_s,
        ("health", "watch_s"): health.watch_s,
    }
    alone = {at: wait for at, wait in waits.items() if wait > sla_s}
    for at, wait in alone.items():
        yield Contradiction(at, f"{wait:g} s is longer than the whole run may take, {sla_s:g} s", "shorten it")
    total = sum(waits.values())
    if not alone and total > sla_s:
        yield Contradiction(
            ("sla_s",),
            f"smoke budget {smoke.budget_s:g} s, traffic {traffic.settling_s:g} s and health watch {health.watch_s:g} s"
            f" make {total:g} s of {sla_s:g} s",
            "lengthen sla_s or shorten one of them",
        )


def incidents_have_a_source(incidents: Incidents | None) -> Iterator[Contradiction]:
    """A gate that nobody answers cannot refuse."""
    if incidents is not None and incidents.command is None:
        yield Contradiction(
            ("incidents", "command"),
            "incidents are asked about, and nothing says which there are",
            "name a program that prints them as JSON, or leave the rule out: incidents: null",
        )


def blackout_has_a_zone(blackout: Blackout | None, window: Window | None) -> Iterator[Contradiction]:
    """Days begin and end somewhere: a blackout takes its zone from the window, else from its calendar."""
    if blackout is not None and window is None and blackout.calendar is None:
        yield Contradiction(
            ("blackout", "calendar"),
            "neither a window nor a calendar says in which zone its days begin",
            "name a calendar file (it has a zone), or give the environment a window",
        )


def clean_tree_in_the_cloud(platform: Platform, dirty_tree: bool) -> Iterator[Contradiction]:  # noqa: FBT001  called by section name
    """Only what is committed leaves this machine."""
    if dirty_tree and platform.kind != "embedded":
        yield Contradiction(
            ("dirty_tree",),
            "uncommitted changes may be deployed to the embedded platform only",
            "set dirty_tree: false",
        )


def record_where_it_lasts(platform: Platform, record: Record) -> Iterator[Contradiction]:
    """A runner's disk goes with the runner, and whoever holds a disk may delete what is on it."""
    if platform.kind != "embedded" and record.store != "gcs":
        yield Contradiction(
            ("record", "store"),
            "the record of an environment in the cloud would lie on this machine's disk",
            "give record: {store: gcs, bucket: NAME}",
        )


def locked_where_it_can_be(record: Record, retention: Retention) -> Iterator[Contradiction]:
    """Only a bucket can be locked."""
    if retention.locked and record.store != "gcs":
        yield Contradiction(
            ("retention", "locked"),
            "no retention can be locked on a disk",
            "give record: {store: gcs, bucket: NAME}, or set retention.locked: false",
        )


def copies_lie_elsewhere(record: Record, anchors: Anchors) -> Iterator[Contradiction]:
    """Whoever can rewrite the record must not hold what tells of it."""
    copies = anchors.copies
    if copies is not None and copies.bucket is not None and copies.bucket == record.bucket:
        yield Contradiction(
            ("anchors", "copies", "bucket"),
            f"{copies.bucket} is the record's own bucket: what is lost there is lost with its anchors",
            "name another bucket, in another project if it can be",
        )
    if copies is not None and copies.folder is not None and f"{copies.folder}/".startswith("reports/"):
        yield Contradiction(
            ("anchors", "copies", "folder"),
            f"{copies.folder} lies among the records themselves",
            "name a folder outside reports/",
        )


def github_is_where_the_platform_is(platform: Platform, anchors: Anchors) -> Iterator[Contradiction]:
    """The embedded platform asks nobody outside this machine, and a real record's anchors lie outside it."""
    github, at = anchors.github, ("anchors", "github", "api")
    if github is None:
        return
    if platform.kind == "embedded" and not github.loopback:
        yield Contradiction(
            at,
            f"{github.api} is asked, and the embedded platform stays on this machine",
            "leave anchors.github to real environments, or give a loopback address",
        )
    if platform.kind != "embedded" and github.loopback:
        yield Contradiction(
            at, f"{github.api} is on this machine, and what it holds goes with it", "give the address of GitHub"
        )


def administrators_can_be_read_back(
    administrators: Administrators | None, record: Record, anchors: Anchors
) -> Iterator[Contradiction]:
    """A list that nothing can be held against says nothing."""
    if administrators is None:
        return
    readable = {
        "store": (record.store == "gcs", "the record lies on a disk", "give record: {store: gcs, bucket: NAME}"),
        "key": (record.signer == "kms", "the log's key is a file", "give record: {signer: kms, key: projects/…}"),
        "github": (
            anchors.github is not None,
            "nothing says which repository",
            "give anchors: {github: {repository: OWNER/NAME}}",
        ),
    }
    for system, (can_be_asked, why, remedy) in readable.items():
        if system in administrators.listed and not can_be_asked:
            yield Contradiction(
                ("administrators", system),
                f"its administrators cannot be read back: {why}",
                f"{remedy}, or leave administrators.{system} out",
            )


def anchor_lines_fit(organisation: Organisation, environment: str, anchors: Anchors) -> Iterator[Contradiction]:
    """A status at GitHub holds 140 characters: the whole line, of a rehearsal too, at any size."""
    over = len(f"{organisation.domain}/rehearsal/{environment}") - _LONGEST_ORIGIN
    if anchors.github is not None and over > 0:
        yield Contradiction(
            ("anchors", "github"),
            f"the line `tlog {organisation.domain}/rehearsal/{environment} SIZE ROOT` is {over} characters longer than the "
            "140 that GitHub keeps",
            "shorten organisation.domain or the environment's name",
        )


_LONGEST_ORIGIN = 140 - len("tlog " + " 12345678 ") - 44
"""Sizes have 8 digits at the most (the names in a log), a root has 44 characters of base64."""


def staging_is_another_environment(
    staging_smoke: StagingSmoke | None, environment: str, environments: Collection[str]
) -> Iterator[Contradiction]:
    """What vouches for an environment is known, and is not itself."""
    if staging_smoke is None:
        return
    at, named = ("staging_smoke", "environment"), staging_smoke.environment
    if named not in environments:
        yield Contradiction(at, f"there is no environment {named!r}", f"name one of: {', '.join(sorted(environments))}")
    if named == environment:
        yield Contradiction(at, "an environment cannot vouch for itself", "name the environment before it")


CONTRADICTION_RULES: tuple[Callable[..., Iterator[Contradiction]], ...] = (
    approval_roles_match_the_phase,
    production_rules_need_approval_and_backup,
    fits_the_window,
    incidents_have_a_source,
    blackout_has_a_zone,
    fits_the_sla,
    clean_tree_in_the_cloud,
    record_where_it_lasts,
    locked_where_it_can_be,
    copies_lie_elsewhere,
    github_is_where_the_platform_is,
    administrators_can_be_read_back,
    anchor_lines_fit,
    staging_is_another_environment,
)
"""Each takes the sections that its parameters are named after."""


def contradictions(valid: Mapping[str, Any], environments: Collection[str]) -> Iterator[Contradiction]:
    """Every contradiction among the sections that are `valid`; `environments` are the names the file knows."""
    known = {**valid, "environments": environments}
    for rule in CONTRADICTION_RULES:
        sections = signature(rule).parameters
        if known.keys() >= sections.keys():
            yield from rule(*(known[section] for section in sections))
