"""Part of step 10: a review of the trail goes on where the one before it ended, saw this log, and is of what others deployed."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RunAbandoned, RunClosed, RunOpened, TrailReviewed
from pytest_deploy.verify.actors import is_one_of
from pytest_deploy.verify.chain import Chain


class Reviews:
    """Those of a log, in its order."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._until = 0

    def faults(self, event: Event) -> Iterator[str]:
        """What is wrong with the next one."""
        review = event.read(TrailReviewed)
        if review.first != self._until:
            yield f"reviews from event {review.first} on, and event {self._until} is the first that nobody reviewed"
        if not review.first < review.size <= event.seq:
            yield f"reviews {review.size - review.first} events, up to event {review.size - 1}: right are one or more before it"
        elif base64.b64encode(self._chain.checkpoint(review.size).checkpoint.root).decode() != review.root:
            yield f"reviews another log than this: its root at size {review.size} is another"
        if run := self._own_run(event, review):
            yield f"is signed by who deployed {run}, which it covers"
        self._until = review.size

    def _own_run(self, event: Event, review: TrailReviewed) -> str:
        """A run that the signer deployed and that was opened, closed or abandoned in what is covered; empty where there is none."""
        covered = {
            each.run
            for each in self._chain.kept_of(RunOpened, RunClosed, RunAbandoned)
            if review.first <= each.seq < review.size
        }
        people = self._chain.people_at(event.seq)
        for each in self._chain.kept_of(RunOpened):
            if each.run in covered and is_one_of(people, review.signer, {each.read(RunOpened).deployer}):
                return each.run
        return ""
