"""`pytest-deploy verify`, `audit` and `anchor`: can a record be trusted, is anything wrong anywhere, who else knows of it.

`audit` is for a job that runs by itself. It reads, and writes nothing but the copy of a bucket. Each finding is one line that
says what to do; one that is bad makes the command end with 1, so that whoever gets the job's mail looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.x509 import load_pem_x509_certificates

from pytest_deploy.anchors.kinds import CLOSES, anchors_of
from pytest_deploy.approvals.roster import enroll_command, in_force
from pytest_deploy.commands import Env, Rehearse, say
from pytest_deploy.errors import DeployError, UsageError
from pytest_deploy.gates import retention
from pytest_deploy.gates.verdict import moment
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import ENVIRONMENTS, policy_of, read_document
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.bucket import MirroredStore
from pytest_deploy.record.event import Event
from pytest_deploy.record.key import TIMESTAMP_CA, trust_set
from pytest_deploy.record.log_entry import Checkpoint
from pytest_deploy.record.open_record import begun_file, record_store
from pytest_deploy.record.run_id import NO_RUN, recover_command
from pytest_deploy.record.run_state import LogState
from pytest_deploy.record.store import Store
from pytest_deploy.reports.anchor_record import anchor_record
from pytest_deploy.reports.trail import Trail, unreviewed
from pytest_deploy.verify.chain import Signatures
from pytest_deploy.verify.segment import read_entry
from pytest_deploy.verify.verify import verify as verify_store
from pytest_deploy.workspace import NOT_SAID, Workspace

SOON: Final = timedelta(days=30)
_KEEP: Final = "keep everything as it is, and find out who could have done it"


def verify(
    path: Annotated[Path, typer.Argument(help="a store, e.g. reports/local")],
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="a line `tlog ORIGIN SIZE ROOT` kept outside the store; may be given several times"),
    ] = None,
    trust_root: Annotated[
        str, typer.Option(metavar="SHA256", help="of the first roster that administrators signed, as you hold it")
    ] = "",
    signatures: Annotated[str, typer.Option(help="newest, or all: every event's own signature")] = "newest",
) -> None:
    """Verify a record from its files alone; name the first bad event."""
    if signatures not in {"newest", "all"}:
        raise UsageError(f"--signatures={signatures}: right is newest or all")
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; right is a store, e.g. reports/local")
    if (path / "EXPORT.txt").is_file() and not (path / "log" / "00000000.event").exists():
        raise UsageError(
            f"{path} is an export of one run, not a whole store; its report.html prints the commands that verify it"
        )
    if trust_root and re.fullmatch(r"[0-9a-fA-F]{64}", trust_root) is None:
        kept = "the digest that was kept elsewhere when the trust root was signed"
        raise UsageError(f"--trust-root={trust_root}: right are 64 hex digits, {kept}")
    every: Signatures = "all" if signatures == "all" else "newest"
    result = verify_store(path, anchor=anchor, signatures=every, trust_root=trust_root)
    for check in result.checks:
        say(f"{'ok  ' if check.ok else 'BAD '} {check.number:>2} {check.title}: {check.detail}")
    for finding in result.findings:
        say(f"     {finding}")
    for note in result.notes:
        say(f"note {note}")
    typer.echo(f"{'VERIFIED' if result.ok else 'NOT VERIFIED'}: {result.size} events, root {result.root}")
    if not result.ok:
        raise typer.Exit(1)


def audit(
    env: Annotated[str, typer.Argument(metavar="[ENV]", help="one environment; else all of deploy.yaml")] = "",
    *,
    rehearse: Rehearse = False,
) -> None:
    """Verify again everything of every record, for a scheduled job: one line each, and what to do. 0, or 1 where something is wrong."""
    all_well = True
    for line in Audit(Path.cwd(), rehearsal=rehearse).all(env):
        say(str(line))
        all_well = all_well and line.ok
    if not all_well:
        raise typer.Exit(1)


def anchor(env: Env, *, rehearse: Rehearse = False) -> None:
    """Make the anchors that policy names now: for a record that has none yet, or where the last could not be made."""
    workspace = Workspace(Path.cwd(), env, rehearsal=rehearse)
    environment = Environment(workspace, policy_of(workspace))
    named = environment.policy.anchors
    if not (named.lines or named.copies or named.github or named.timestamp):
        raise UsageError(f"deploy.yaml names no anchors for {env}: give anchors: {{copies: ...}}")
    if not environment.has_record:
        raise UsageError(f"{env} has no record yet: there is nothing to anchor")
    if not anchor_record(environment, run=NO_RUN, say=say):
        raise typer.Exit(1)
    typer.echo(environment.log.checkpoint())


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    environment: str
    ok: bool
    text: str
    """What it is like; where it is bad, what to do follows."""

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'BAD '} {self.environment}: {self.text}"


Result = tuple[bool, str]


@dataclass(frozen=True)
class Audit:
    """The records of one checkout's environments."""

    root: Path
    rehearsal: bool = False
    """The rehearsals' records in place of the real ones."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def all(self, environment: str = "") -> Iterator[Finding]:
        """Every finding of one environment, or of all that deploy.yaml names. Raises ConfigurationError."""
        names = [environment]
        if not environment:
            document, _ = read_document(self.root / "deploy.yaml", "run it where deploy.yaml lies")
            environments = document.nearest((ENVIRONMENTS,)).value
            names = list(environments) if isinstance(environments, Mapping) else []
        for name in names:
            workspace = Workspace(self.root, name, rehearsal=self.rehearsal)
            policy = policy_of(workspace)
            try:
                yield from (Finding(name, ok, text) for ok, text in self._results(workspace, policy))
            except DeployError as error:
                yield Finding(name, False, f"cannot be looked at: {error}")
            except OSError as error:
                yield Finding(name, False, f"cannot be looked at: {error.filename}: {error.strerror}")

    def _results(self, workspace: Workspace, policy: Policy) -> Iterator[Result]:
        store = record_store(workspace, policy)

        # 1. What is known of the record outside it.
        checkpoints: list[Checkpoint] = []
        for anchor in anchors_of(workspace, policy, store):
            if anchor.read_back:
                try:
                    checkpoints_known = anchor.known()
                except DeployError as error:
                    yield False, f"anchors at {anchor.place} cannot be read: {error}"
                    continue
                checkpoints += checkpoints_known
                yield True, f"anchors at {anchor.place}: {len(checkpoints_known)} read back"
        checkpoints.sort(key=lambda checkpoint: checkpoint.size)

        # 2. Whether there is a record.
        if next(iter(store.names("log/")), None) is None:
            where = store.bucket.url if isinstance(store, MirroredStore) else workspace.shown(workspace.store)
            if checkpoints:
                size = checkpoints[-1].size
                yield False, f"{where} holds no record, and anchors know of {size} events: it is gone; {_KEEP}"
            elif (begun := begun_file(workspace.key_file)).exists():
                yield (
                    False,
                    f"{where} holds no record, and one was begun here ({workspace.shown(begun)}): it is gone; {_KEEP}",
                )
            else:
                yield True, f"no record yet in {where}"
            return

        # 3. Whether it verifies, against all that is known outside it.
        path = store.folder()
        verification = verify_store(path, anchor=[checkpoint.anchor for checkpoint in checkpoints])
        for check in verification.checks:
            if not check.ok:
                yield False, f"step {check.number}, {check.title}: {check.detail}; {_KEEP}"
        if verification.ok:
            yield True, f"verified, all twelve steps: {verification.size} events, root {verification.root}"

        # 4. What a verification does not show.
        yield from self._copy(store)
        events = [read_entry(path, seq).event for seq in range(verification.size)]
        yield self._end_of_log(workspace, policy, events, checkpoints)
        verdict = retention.judge(policy.retention, self.now, *retention.read_holding(store, self.root))
        yield not verdict.blocks, f"retention: {verdict.sentence}"
        yield from self._open_runs(policy, events)
        yield True, unreviewed(workspace, Trail.of(events).last, len(events))
        yield from self._expiring_keys(workspace, store, events)

    def _copy(self, store: Store) -> Iterator[Result]:
        if not isinstance(store, MirroredStore):
            return
        if differs := store.compare():
            yield False, f"{store.path / differs[0]} is not as in {store.bucket.url}; move the copy away and run again"
        else:
            yield True, f"the copy in {store.path.relative_to(self.root)} is that of {store.bucket.url}"

    def _end_of_log(
        self, workspace: Workspace, policy: Policy, events: Sequence[Event], checkpoints: Sequence[Checkpoint]
    ) -> Result:
        """What a cut would take away unseen."""
        anchored = max((checkpoint.size for checkpoint in checkpoints), default=0)
        closed = [event.run for event in events[anchored:] if event.type in CLOSES]
        if not policy.anchors.required and not checkpoints:
            return True, "no anchor is asked for: a cut at the end would show against a line kept elsewhere only"
        if closed:
            since = f"{len(events) - anchored} events since the newest anchor, {len(closed)} closed runs among them"
            return False, f"{since}; `{workspace.command_line('anchor')}`"
        return True, f"anchored up to event {anchored - 1}; no run was closed since"

    def _open_runs(self, policy: Policy, events: Sequence[Event]) -> Iterator[Result]:
        """Runs that nobody works on any more."""
        state = LogState.of(events)
        open_runs = {run: state.run(run) for run in state.open_runs()}
        # A plan holds no lease: its time is what a whole run may take.
        ends = {
            run: run_state.lease_until or (run_state.opened_at or self.now) + timedelta(seconds=policy.sla_s)
            for run, run_state in open_runs.items()
        }
        abandoned = [run for run, end in ends.items() if end <= self.now]
        for run in abandoned:
            yield False, f"run {run} is open since its time ended {moment(ends[run])}: `{recover_command(run)}`"
        if not abandoned:
            yield True, f"no run was left open{f' ({len(open_runs)} in progress)' if open_runs else ''}"

    def _expiring_keys(self, workspace: Workspace, store: Store, events: Sequence[Event]) -> Iterator[Result]:
        """Keys, and the timestamp authority's certificate, that end soon and have no successor."""
        roster, sha256 = in_force(store, events)
        ends = [
            (
                max(key.valid_before for key in roster.keys if key.email == email),
                f"the key of {email}",
                f"to make the next known: `{enroll_command(workspace, roster, known=roster.people[email])}`",
            )
            for email in dict.fromkeys(key.email for key in roster.keys if key.valid(self.now))
        ]
        if ca := trust_set(store, sha256).get(TIMESTAMP_CA):
            named = "anchors.timestamp.ca of deploy.yaml must name the next"
            ends.append((_end_of_certificate(ca), "the timestamp authority's certificate", named))
        if roster.signed is not None:
            renew = workspace.command_line("keys renew", "--reason", NOT_SAID)
            ends.append(
                (roster.signed.until, "the roster", f"nobody's approval counts then; have it reviewed: `{renew}`")
            )
        soon = [found for found in ends if found[0] <= self.now + SOON]
        for end, what, remedy in soon:
            yield False, f"{what} ends {moment(end)}; {remedy}"
        if not soon:
            what = "no key" if roster.signed is None else "neither a key nor the roster"
            yield True, f"{what} ends within {SOON.days} days"


def _end_of_certificate(pem: bytes) -> datetime:
    try:
        return min(certificate.not_valid_after_utc for certificate in load_pem_x509_certificates(pem))
    except ValueError as error:
        raise UsageError(f"anchors.timestamp.ca is no PEM certificate: {error}") from error
