"""A production record that came about as a real one does: staged, planned, refused, signed by two, deployed. Made once a test run.

A copy of it holds besides what people signed after the run.

Everything in it was written by the commands people type, on the embedded platform, under production's own policy, into a
bucket that refuses replace and delete as production's own does.
"""

from __future__ import annotations

import fcntl
import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.approvals.after_run import (
    AcceptedDeviation,
    AfterRun,
    Amendment,
    Countersignature,
    Note,
    SignOff,
    event_hash,
    sign_statement,
)
from pytest_deploy.approvals.roster import in_force
from pytest_deploy.record.bucket import Bucket, MirroredStore
from pytest_deploy.record.clock import SystemClock, stamp
from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.store import FolderStore
from pytest_deploy.verify.verify import verify
from tests.child_process import Ran
from tests.fake_gcs import asking
from tests.locked_bucket import LockedBucket, locked_bucket
from tests.project_checkout import Checkout
from tests.stories.output_assertions import COLOURED
from tests.stories.rehearsed_checkout import BUCKET, TUESDAY, RehearsedCheckout, in_a_bucket

HOUR = timedelta(hours=1)
ROLES = ("Tech Lead", "QA Lead")
ORIGIN = "deploy.example.org/rehearsal/production"


@dataclass(frozen=True)
class ProductionRecord:
    """Stores to be read, or copied and altered; never altered where they lie."""

    store: Path
    """Production's."""
    reviewed: Path
    """Production's, with what people signed after the run: see `review`."""
    staging: Path
    key: Path
    """The private key production's log is signed with: what an insider may have."""
    people: Path
    """The private keys of those who sign, each under the part of their address before the @: what accomplices have."""
    run: str
    """The run that deployed."""
    plan: str
    """The plan that made its request."""
    anchor: str
    """The line that the run ended with, kept outside."""

    @property
    def checkout(self) -> Checkout:
        """Where it was made, with its listings; nothing can be deployed there any more."""
        return Checkout(self.store.parent / "checkout", self.store.parent / "gone", "production", rehearsal=True)

    def terminal(self, run: str) -> str:
        """What the process printed that ran this run to its end; those that the gates sent away printed its name, too."""
        texts = [path.read_text(encoding="utf-8") for path in self.store.parent.glob("said-*/stdout")]
        (said,) = (text for text in texts if f"\nrun {run}\n" in text and f"/{run}/report.html\n" in text)
        return said

    def events(self, environment: str = "production") -> list[Event]:
        """The log's events, oldest first, or those of staging's."""
        objects = sorted((self.store.with_name(environment) / "log").glob("*.event"))
        return [parse_line(path.read_bytes().partition(b"\n")[0] + b"\n") for path in objects]


def production_record(shared: Path) -> ProductionRecord:
    """The record in a folder that all workers share, made by whoever comes first."""
    made = shared / "production-record"
    with (shared / "production-record.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    run, plan, anchor = (made / "kept").read_text().splitlines()
    return ProductionRecord(
        store=made / "production",
        reviewed=made / "reviewed",
        staging=made / "staging",
        key=made / "key.pem",
        people=made / "people",
        run=run,
        plan=plan,
        anchor=anchor,
    )


def _make(made: Path) -> None:
    part = Path(tempfile.mkdtemp(prefix="production-", dir=made.parent))
    with Checkout.open(part) as checkout, locked_bucket(BUCKET) as (bucket, url), asking(url):
        run, said = move_production(checkout, bucket)
        assert_the_bucket_holds_it_all(checkout, bucket, part / "fresh")
        production = checkout.rehearsing("production")
        plan = next(event.run for event in production.events() if event.type == "run.opened")
        (anchor,) = (line.split(maxsplit=1)[1] for line in said.splitlines() if line.strip().startswith("anchor "))
        for name in ("production", "staging"):
            shutil.copytree(checkout.rehearsing(name).store, part / name, symlinks=True)
        keys = checkout.path / ".deploy" / "keys"
        shutil.copy(keys / "rehearsal-production.pem", part / "key.pem")
        shutil.copytree(keys / "rehearsal" / "production", part / "people")
        shutil.copytree(part / "production", part / "reviewed", symlinks=True)
        review(part / "reviewed", part / "key.pem", part / "people", run)
    (part / "kept").write_text(f"{run}\n{plan}\n{anchor}\n")
    part.rename(made)


def move_production(checkout: Checkout, bucket: LockedBucket) -> tuple[str, str]:
    """Production moves when staging, people, time and the record's keeper allow it, and not before; the run, and what it printed."""
    staging, production = RehearsedCheckout.of(checkout, "staging"), in_a_bucket(checkout)
    staging.deployed(TUESDAY - 2 * HOUR, "QA Lead")

    # Nothing but signatures is owed: a plan is content with that, a run is not.
    request = production.planned(TUESDAY)
    assert {"approvals"} == production.refused("plan")
    unsigned = production.run(request, TUESDAY)
    assert unsigned.code == 1, unsigned.said
    assert "approvals: " in unsigned.said
    assert {"approvals"} == production.refused("lease", request)
    assert_evidence_of_the_refusal(production, request, unsigned)
    assert production.approve(request, "Tech Lead").code == 0
    half = production.run(request, TUESDAY, "-n", "2")
    assert half.code == 1, half.said
    assert "QA Lead" in half.said
    assert_evidence_of_the_refusal(production, request, half)
    assert production.approve(request, "QA Lead").code == 0

    # Signed, and too late: the window closes before the run would end.
    late = production.run(request, TUESDAY + 4.9 * HOUR)
    assert late.code == 1, late.said
    assert {"window"} == production.refused("lease", request)
    assert production.checkout.said("run.opened", request) == []
    assert_evidence_of_the_refusal(production, request, late)

    # HeldLease no longer by the bucket: that by itself stops it.
    bucket.locked = False
    unheld = production.run(request, TUESDAY)
    assert unheld.code == 1, unheld.said
    assert "retention: " in unheld.said
    assert {"retention"} == production.refused("lease", request)
    bucket.locked = True

    ran = production.run(request, TUESDAY, COLOURED)
    assert ran.code == 0, ran.said
    assert production.checkout.standing().status == 200
    assert request not in checkout.deploy_py("history", "--rehearse", "--outcome", "refused").stdout
    return request, ran.stdout


def review(store: Path, key: Path, people: Path, run: str) -> None:
    """Two people sign off a closed run and correct its reason; one puts a note beside its commit and accepts a step that did not run."""
    log = open_record(FolderStore(store), origin=ORIGIN, key_file=key, clock=SystemClock(), actor="system:review")
    roster, _ = in_force(log.store, log.history())
    opened = next(event for event in log.run(run) if event.type == "run.opened")
    sealed = next(event.data["record_sha256"] for event in log.run(run) if event.type == "run.closed")
    skipped = next(event.data for event in log.run(run) if event.type == "step.not-run")

    def signs(statement: Callable[..., AfterRun], by: str, meaning: str, **says: Any) -> Event:
        person = roster.people[f"{by}@rehearsal.deploy.example.org"]
        signer = {"printed_name": person.printed_name, "signer": person.email, "role": person.roles[0]}
        said = statement(meaning=meaning, **signer, signed_at=stamp(log.clock.now()), run=run, **says)
        return sign_statement(log, said, person=person, key=people / by)

    about = {"event_sha256": event_hash(opened)}
    corrected = {
        **about, "amends": opened.seq, "key": "reason", "old": opened.data["reason"], "new": "OPS-7: entries get versions",
        "reason": "left out when it was planned",
    }  # fmt: skip
    for by in ("tech-lead", "qa-lead"):
        signs(SignOff, by, "reviewed", record_sha256=sealed, comment=f"complete, says {by}")
    first = signs(Amendment, "tech-lead", Amendment.MEANING, **corrected)
    signs(Countersignature, "qa-lead", Countersignature.MEANING, **corrected, countersigns=first.seq)
    signs(
        Note, "qa-lead", Note.MEANING, **about, annotates=opened.seq, key="commit", note="the tag was moved a day later"
    )  # fmt: skip
    signs(
        AcceptedDeviation, "qa-lead", AcceptedDeviation.MEANING, record_sha256=sealed, nodeid=skipped["nodeid"],
        deviation=f"not run: {skipped['cause']}", reason="nothing was to be undone",
    )  # fmt: skip
    assert verify(store).ok, verify(store).findings


def assert_evidence_of_the_refusal(production: RehearsedCheckout, request: str, ran: Ran) -> None:
    """The terminal, a page, the index and history say that this start was refused, by which gate; and the record verifies."""
    store = production.checkout.store
    (refused,) = production.refused("lease", request)
    reason = production.verdicts("lease", request)[refused]["reason"]
    # 1. The terminal: words, the exit code, where the page lies. Nothing of pytest's own insides.
    printed = dict(
        line.split(maxsplit=1) for line in ran.stdout.splitlines() if line.startswith(("report ", "anchor ", "verify "))
    )
    assert (
        f"refused: 1 gate of 14 refused {request}; nothing was changed, the request stays live\n  {refused}: "
        in ran.stdout
    )
    assert re.search(r"^refused in \d+\.\d s · exit 1$", ran.stdout, re.MULTILINE), ran.said
    assert "Stopped: refused" in ran.stdout
    assert "_pytest.outcomes" not in ran.said
    # 2. The page: the newest of this request's, which names that gate alone.
    page = production.checkout.path / printed["report"]
    assert page == max((store / "runs" / request / "refused").iterdir())
    assert page.stem == f"{production.checkout.events(request)[-1].seq:08d}"
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'data-refused="([^"]+)"', text) == [refused]
    assert html.escape(reason) in text
    # 3. The index links it, history lists it.
    index = (production.checkout.path / "reports" / "index.html").read_text(encoding="utf-8")
    assert f'data-run="{request}" data-outcome="refused"' in index
    assert f'href="{page.relative_to(production.checkout.path / "reports").as_posix()}"' in index
    listed = production.checkout.deploy_py(
        "history", "--env", "production", "--rehearse", "--outcome", "refused", "--format", "jsonl"
    )
    (row,) = map(json.loads, listed.stdout.splitlines())
    assert (row["run"], row["outcome"]) == (request, "refused")
    assert row["cause"].startswith(f"{refused}: {reason}")
    assert row["cause"].endswith("; the request stays live")
    # 4. Nothing else was left of a run that never was; both verifiers accept what was.
    assert {path.name for path in (store / "runs" / request).iterdir()} <= {"request.json", "approvals", "refused"}
    assert verify(store).ok, verify(store).findings
    second = subprocess.run([store / "verify.sh"], capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 0, second.stdout


def assert_the_bucket_holds_it_all(checkout: Checkout, bucket: LockedBucket, fresh: Path) -> None:
    """Copied anew by somebody else it is the same record, and the bucket was never asked to replace a thing."""
    production = checkout.rehearsing("production")
    told = checkout.deploy_py("audit", "production", "--rehearse")
    assert told.code == 0, told.said
    copied = MirroredStore(Bucket(BUCKET, "rehearsal/production"), fresh).folder()
    found = verify(copied)
    assert found.ok, found.findings
    assert bucket.refused == []
    made = [event for event in production.events(production.last_run()) if event.type == "anchor.made"]
    assert {"copy", "line"} == {event.data["kind"] for event in made}
    assert (copied / made[-1].data["file"]).is_file()
