"""A production record that came about as a real one does: staged, planned, refused, signed by two, deployed. Made once a test run.

Everything in it was written by the commands people type, on the embedded platform, under production's own policy, into a
bucket that refuses replace and delete as production's own does.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pytest_deploy.record.bucket import Bucket, MirroredStore
from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.verify.verify import verify
from tests.fake_gcs import asking
from tests.locked_bucket import LockedBucket, locked_bucket
from tests.project_checkout import Checkout
from tests.stories.rehearsed_checkout import BUCKET, TUESDAY, RehearsedCheckout, in_a_bucket

HOUR = timedelta(hours=1)
ROLES = ("Tech Lead", "QA Lead")


@dataclass(frozen=True)
class ProductionRecord:
    """Stores to be read, or copied and altered; never altered where they lie."""

    store: Path
    """Production's."""
    staging: Path
    key: Path
    """The private key production's log is signed with: what an insider may have."""
    run: str
    """The run that deployed."""
    plan: str
    """The plan that made its request."""
    anchor: str
    """The line that the run ended with, kept outside."""

    def events(self) -> list[Event]:
        """The log's events, oldest first."""
        objects = sorted((self.store / "log").glob("*.event"))
        return [parse_line(path.read_bytes().partition(b"\n")[0] + b"\n") for path in objects]


def production_record(shared: Path) -> ProductionRecord:
    """The record in a folder that all workers share, made by whoever comes first."""
    made = shared / "production-record"
    with (shared / "production-record.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    run, plan, anchor = (made / "kept").read_text().splitlines()
    return ProductionRecord(made / "production", made / "staging", made / "key.pem", run, plan, anchor)


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
        shutil.copy(checkout.path / ".deploy" / "keys" / "rehearsal-production.pem", part / "key.pem")
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
    assert production.approve(request, "Tech Lead").code == 0
    half = production.run(request, TUESDAY)
    assert half.code == 1, half.said
    assert "QA Lead" in half.said
    assert production.approve(request, "QA Lead").code == 0

    # Signed, and too late: the window closes before the run would end.
    late = production.run(request, TUESDAY + 4.9 * HOUR)
    assert late.code == 1, late.said
    assert {"window"} == production.refused("lease", request)
    assert production.checkout.said("run.opened", request) == []

    # HeldLease no longer by the bucket: that by itself stops it.
    bucket.locked = False
    unheld = production.run(request, TUESDAY)
    assert unheld.code == 1, unheld.said
    assert "retention: " in unheld.said
    assert {"retention"} == production.refused("lease", request)
    bucket.locked = True

    ran = production.run(request, TUESDAY)
    assert ran.code == 0, ran.said
    assert production.checkout.standing().status == 200
    return request, ran.stdout


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
