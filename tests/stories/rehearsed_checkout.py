"""Staging and production rehearsed in one checkout, by the commands people type, on days that are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.child_process import Ran, Running
from tests.project_checkout import QUICK, Checkout
from tests.stories.output_assertions import COLOURED

QUICKLY = (*QUICK, "--deploy-set=traffic.settle_s=0")
TUESDAY = datetime(2027, 6, 15, 14, 0, tzinfo=UTC)
"""10:00 in New York: production's window is open, and calendar.yaml knows the year."""
CHRISTMAS_EVE = datetime(2027, 12, 24, 14, 0, tzinfo=UTC)
"""A Friday, and the day on which Christmas is observed in 2027: no day of the window's, and a holiday."""
BUCKET = "example-diary-production-record"
"""Production's, in deploy.yaml."""


@dataclass(frozen=True)
class RehearsedCheckout:
    """One environment's rehearsal."""

    checkout: Checkout
    """Seen as that rehearsal."""

    @classmethod
    def of(cls, checkout: Checkout, environment: str) -> RehearsedCheckout:
        return cls(checkout.rehearsing(environment))

    def start(self, at: datetime, *more: str) -> Running:
        """`pytest --deploy-env=… --deploy-rehearse --deploy-at=… MORE`, not waited for."""
        words = (
            f"--deploy-env={self.checkout.environment}",
            "--deploy-rehearse",
            f"--deploy-at={at:%Y-%m-%dT%H:%M:%SZ}",
        )
        return self.checkout.start(*words, *QUICKLY, *more)

    def plan(self, at: datetime, *more: str) -> Ran:
        return self.start(at, "--deploy-pipeline=plan", *more).wait()

    def run(self, request: str, at: datetime, *more: str) -> Ran:
        return self.start(at, f"--deploy-run={request}", *more).wait()

    def approve(self, request: str, role: str) -> Ran:
        return self.checkout.deploy_py("approve", request, "--role", role, "--yes")

    def planned(self, at: datetime, *roles: str) -> str:
        """A request made by a plan that found nothing to mend, approved by those roles; its run id."""
        ran = self.plan(at, COLOURED)
        assert ran.code == 0, ran.said
        request = self.last_request()
        for role in roles:
            signed = self.approve(request, role)
            assert signed.code == 0, signed.said
        return request

    def deployed(self, at: datetime, *roles: str) -> str:
        """Plan, approve, run; the run's id."""
        request = self.planned(at, *roles)
        ran = self.run(request, at)
        assert ran.code == 0, ran.said
        return request

    def last_request(self) -> str:
        return [event.run for event in self.checkout.events() if event.type == "request.made"][-1]

    def verdicts(self, point: str, run: str | None = None) -> Mapping[str, Mapping[str, Any]]:
        """What each gate last said at a point of a run, the last one where none is named, by gate."""
        run = run or self.checkout.last_run()
        told = [
            e for e in self.checkout.events(run) if e.type in {"gate.passed", "gate.refused", "gate.not-applicable"}
        ]
        return {event.data["gate"]: event.data for event in told if event.data["point"] == point}

    def refused(self, point: str, run: str | None = None) -> set[str]:
        """The gates that stood in the way at a point: refused, or still needed."""
        blocking = {"refused", "still-needed"}
        return {gate for gate, said in self.verdicts(point, run).items() if said["verdict"] in blocking}


def in_a_bucket(checkout: Checkout) -> RehearsedCheckout:
    """Production, whose rehearsals' record goes to the bucket too."""
    written = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
    checkout.write("deploy.yaml", written.replace("rehearsed: folder", "rehearsed: gcs"))
    checkout.commit("Rehearse in the bucket")
    return RehearsedCheckout.of(checkout, "production")
