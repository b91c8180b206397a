"""Part of step 10: an amendment is of what a person stated, by two without an interest in it, and begins at what stood there."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Final, cast

from pytest_deploy.record.countersigned import confirms
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.events import RecordAmended, RequestMade, RunOpened, fields, given
from pytest_deploy.verify.chain import Chain, TrustSet

_GITHUB: Final = re.compile(r"github:([^:]*)")
_LOCAL: Final = re.compile(r"local:[0-9]+:(.*?)(?:@[^@]*)?", re.DOTALL)
"""What an event says who did it may have any form, where the log's own key wrote it."""


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
    return is_one_of(chain.trust_at(event.seq), amendment.signer, actors)


def is_one_of(trust: TrustSet | None, signer: str, actors: Collection[str]) -> bool:
    """Whether a signer is one of those who did something, by the roster in force."""
    try:
        person = json.loads(trust.files["roles.json"] if trust is not None else b"{}")[signer]
        github, local = person["github"], person["local"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # nobody whom the roster knows: told where the signature is looked at
    return any(
        actor.lower() == signer
        or (github is not None and (number := _GITHUB.match(actor)) is not None and number[1] == str(github))
        or (local is not None and (user := _LOCAL.fullmatch(actor)) is not None and user[1] == local)
        for actor in actors
    )
