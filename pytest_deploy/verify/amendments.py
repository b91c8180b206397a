"""Part of step 10: an amendment is of what a person stated, by two without an interest in it, and begins at what stood there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from pytest_deploy.record.countersigned import confirms
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.events import RecordAmended, RequestMade, RunOpened, fields, given
from pytest_deploy.verify.actors import is_one_of
from pytest_deploy.verify.chain import Chain


class Amendments:
    """Those of a log, in its order."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._stands: dict[tuple[int, str], bytes] = {}
        self._known: dict[int, RecordAmended] = {}

    def faults(self, event: Event, amended: Event) -> Iterator[str]:
        """What is wrong with the next one; `amended` is the event it is about."""
        said = event.read(RecordAmended)
        key, about = given(said.key, ""), amended.seq
        old = self._stands.get((about, key), canonical(amended.content.as_data().get(key)))
        if canonical(given(said.old)) != old:
            yield f"amends {key} of event {about} from a value it did not have"
        known = fields(type(amended.content))
        if key not in known or not known[key].stated:
            yield f"amends {key} of event {about}, which nobody stated: it was observed"
        if _interested(self._chain, event, said, amended):
            yield f"is signed by who deployed {event.run}, asked for it or stated what it amends"
        confirmed = given(said.countersigns)
        if confirmed is not None:  # only now it counts
            first = self._known.get(confirmed)
            if first is None or not confirms(said, first):
                yield f"confirms event {confirmed}, which is no such amendment by another person"
            self._stands[about, key] = canonical(given(said.new))
        self._known[event.seq] = said


def _interested(chain: Chain, event: Event, amendment: RecordAmended, amended: Event) -> bool:
    """Whether the signer deployed the run, asked for it, or stated what is amended, by the roster in force."""
    own = [each.content for each in chain.kept_of(RunOpened, RequestMade) if each.run == event.run]
    actors = {
        amended.actor,
        *(one.deployer if isinstance(one, RunOpened) else cast("RequestMade", one).requested_by for one in own),
    }
    return is_one_of(chain.people_at(event.seq), amendment.signer, actors)
