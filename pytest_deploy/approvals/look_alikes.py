# ruff: noqa: RUF001 -- what looks alike is what this is about
"""People of one roster who could be taken for one another: their names or addresses look alike.

Administrators are asked for an explicit word about them, which they sign with the roster. This is judged where people are enrolled
and where administrators sign; what verifiers hold of names and addresses is in docs/record-format.md, "Signed rosters".

The skeleton is the idea of Unicode's UTS #39. Its whole table is not wanted: letters of several writings in one word are refused,
so a name would have to be spelled in the letters below alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from datetime import datetime
from typing import Final

from pytest_deploy.approvals.roster import Person, Roster
from pytest_deploy.errors import Refused

_SMALL: Final = (
    "аa вb гr ԁd еe һh нh іi јj кk ӏl мm оo рp ԛq сc ѕs тt уy ԝw хx ѵv ьb "  # Cyrillic
    "αa βb γy εe ζz ιi κk νv ηn οo ρp σo τt υu χx ωw μu "  # Greek
    "հh օo ոn սu յj ցg զq "  # Armenian
    "ıi ɑa ɡg łl øo đd ħh ŧt"  # Latin, with what is no mark of its own
)
"""Letters, each before the one it looks like; their capitals look like it too."""
_CAPITAL: Final = "Ηh Νn Υy Μm"
"""Greek capitals that look like another letter than their small ones do."""
_LETTERS: Final = str.maketrans(
    {pair[0].upper(): pair[1] for pair in _SMALL.split()}
    | {pair[0]: pair[1] for pair in f"{_SMALL} {_CAPITAL}".split()}
)
_STROKES: Final = str.maketrans("i1|0", "lllo")
"""What is left to be taken for one another among small Latin letters and digits."""


def skeleton(text: str) -> str:
    """What a text looks like: texts that could be taken for one another have the same."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(character for character in decomposed if not unicodedata.category(character).startswith("M"))
    small = bare.translate(_LETTERS).casefold().translate(_STROKES)
    return "".join(filter(str.isalnum, small)).replace("rn", "m").replace("vv", "w")


def look_alikes(roster: Roster, now: datetime) -> tuple[tuple[Person, Person], ...]:
    """Pairs of people who look alike, of those who can sign now or later."""
    signing = {key.email for key in roster.keys if now < key.valid_before}
    people = [person for person in roster.people.values() if person.email in signing]
    return tuple((a, b) for at, a in enumerate(people) for b in people[at + 1 :] if _alike(a, b))


def distinct_from(emails: Collection[str]) -> str:
    """The explicit word, as it stands in what administrators sign, behind what else is said."""
    return "".join(f"; not the same person as {email}" for email in emails)


def refuse_look_alikes(before: Roster, after: Roster, said: str, now: datetime) -> None:
    """Raises Refused where people look alike in one roster who did not in the one before, and `said` does not tell them apart."""
    words, known = said.split("; "), {_emails(pair) for pair in look_alikes(before, now)}
    for pair in look_alikes(after, now):
        if _emails(pair) in known or any(distinct_from([email])[2:] in words for email in _emails(pair)):
            continue
        # Who is new is named first.
        other, new = pair if pair[1].email not in before.people else reversed(pair)
        raise Refused(
            f"{new.printed_name} <{new.email}> looks like {other.printed_name} <{other.email}>: one person has one entry; where they "
            f"are two, --distinct-from {other.email} says so, and stands in what is signed"
        )


def _emails(pair: tuple[Person, Person]) -> frozenset[str]:
    return frozenset(person.email for person in pair)


def _alike(a: Person, b: Person) -> bool:
    if skeleton(a.printed_name) == skeleton(b.printed_name):
        return True
    return list(map(skeleton, a.email.split("@"))) == list(map(skeleton, b.email.split("@")))
