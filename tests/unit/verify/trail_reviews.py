"""Small stores with reviews of the trail, made from the text of docs/record-format.md: Ada deploys, Tina and Ben review.

Each case is put to this project's verifier, to verify.sh and to the third party's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import parse
from tests.unit.record.sample_record import ORIGIN, RunWriter
from tests.unit.verify.signed_rosters import SignedRosters, address, sha256, sign

ROLES: Final = {"ada": "Administrator", "ben": "Administrator", "tina": "Tech Lead", "eve": "Tech Lead"}


@dataclass
class Reviews:
    """A log with a run, of which nobody reviewed anything yet."""

    rosters: SignedRosters
    opened: int = 0
    """seq of the run's first event."""
    newest: str = ""
    """The newest review's file."""

    @classmethod
    def begin(cls, home: Path, keys: Mapping[str, Path]) -> Reviews:
        rosters = SignedRosters.begin(home, keys)
        for name in ("ada", "ben", "cleo", "tina"):
            rosters.roles[address(name)] |= {"github": None, "local": name, "emails": []}
        rosters.root()
        made = cls(rosters, opened=2)
        RunWriter(rosters.log).open().step("build").close("failed")
        return made

    @property
    def store(self) -> Path:
        return self.rosters.store

    @property
    def size(self) -> int:
        head = self.rosters.log.head()
        assert head is not None
        return head.seq + 1

    def root_at(self, size: int) -> str:
        return (self.store / entries.name(size - 1)).read_text().split("\n\n")[1].splitlines()[2]

    def review(
        self,
        name: str = "tina",
        first: int = 0,
        size: int = 0,
        *,
        key: str = "",
        event: Mapping[str, Any] | None = None,
        **says: Any,
    ) -> Reviews:
        """Somebody reviews the events from `first` to before `size`, by default all. `says` differs in what is signed, `event` in its event."""
        size = size or self.size
        said = {
            "findings": "none", "first": first, "meaning": "reviewed", "origin": ORIGIN, "printed_name": name.title(),
            "role": ROLES[name], "root": self.root_at(min(size, self.size)), "signed_at": stamp(self.rosters.clock.now()),
            "signer": address(name), "size": size, **says,
        }  # fmt: skip
        text = canonical(said)
        signature = sign(self.rosters.keys[key or name], text)
        self.newest = f"signoffs/environment/trail-{self.size}.json"
        folder = self.store / "signoffs" / "environment"
        folder.mkdir(parents=True, exist_ok=True)
        (self.store / self.newest).write_bytes(text)
        (self.store / f"{self.newest}.sig").write_bytes(signature)
        stated = {key: value for key, value in said.items() if key != "origin"}
        counted = {"file": self.newest, "sha256": sha256(text), "signature_sha256": sha256(signature)}
        data = {**stated, **counted, **(event or {})}
        self.rosters.log.append(parse("trail.reviewed", data), run="-", actor=address(name))
        return self

    def count_again(self) -> Reviews:
        """The newest review's event once more."""
        head = self.rosters.log.head()
        assert head is not None
        self.rosters.log.append(head.content, run="-", actor=head.actor)
        return self


Make = Callable[[Reviews], object]

PERMITTED: Final[dict[str, Make]] = {
    "all of it": lambda r: r.review(),
    "a part, then the rest": lambda r: r.review("ben", 0, 5).review("tina", 5),
    "a review of a review": lambda r: r.review().review("ben", r.size - 1),
    "by who deployed later": lambda r: r.review("ada", 0, r.opened),
    "under another key of the log": lambda r: (r.review(), r.rosters.rotate(r.store.parents[1]), r.review("ben", r.size - 3)),
}  # fmt: skip

EVENT, FILE, SIGNATURE = "event", "file", "signature"
REFUSED: Final[dict[str, tuple[Make, str]]] = {
    "events left out": (lambda r: r.review("tina", 1), EVENT),
    "events left out later": (lambda r: r.review("tina", 0, 5).review("ben", 6), EVENT),
    "events twice": (lambda r: r.review("tina", 0, 5).review("ben", 4), EVENT),
    "nothing": (lambda r: r.review("tina", 0, 5).review("ben", 5, 5), EVENT),
    "more than there was": (lambda r: r.review("tina", 0, r.size + 1), EVENT),
    "another log": (lambda r: r.review(root=r.root_at(3)), EVENT),
    "by who deployed": (lambda r: r.review("ada"), EVENT),
    "by who deployed, of its end alone": (lambda r: r.review("tina", 0, r.size - 2).review("ada", r.size - 3), EVENT),
    "counted twice": (lambda r: r.review().count_again(), EVENT),
    "a review that rejects": (lambda r: r.review(meaning="rejected"), FILE),
    "other findings": (lambda r: r.review(event={"findings": "much"}), FILE),
    "other events": (lambda r: r.review("tina", 0, 5, event={"size": r.size, "root": r.root_at(r.size)}), FILE),
    "of another log by name": (lambda r: r.review(origin="deploy.example.org/staging"), FILE),
    "in a role that is not held": (lambda r: r.review(role="QA Lead"), FILE),
    "under another name": (lambda r: r.review(printed_name="Quinn"), FILE),
    "with another's key": (lambda r: r.review(key="ben"), SIGNATURE),
    "by a stranger": (lambda r: r.review("eve"), SIGNATURE),
}  # fmt: skip
"""Each with what both verifiers name: the newest review's event, its file or its signature."""


def named(reviews: Reviews, where: str) -> str:
    """The place of the newest review that is refused."""
    event = entries.name(reviews.size - 1)
    return {EVENT: event, FILE: reviews.newest, SIGNATURE: f"{reviews.newest}.sig"}[where]
