"""The texts a run was judged by, in the store by their content: `preimages/sha256/<hex>`, each once, however many runs name it.

`run.opened` binds them, name -> SHA-256: an inspector sees in ten years, without the repository, what was judged by what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RunOpened, given
from pytest_deploy.record.store import Exists, Store

FOLDER: Final = "preimages"
"""Of a store."""


def place(sha256: str) -> str:
    """Where a text lies in a store."""
    return f"{FOLDER}/sha256/{sha256}"


def digests(texts: Mapping[str, bytes]) -> dict[str, str]:
    """Name -> SHA-256 of each text."""
    return {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}


def keep(store: Store, texts: Mapping[str, bytes]) -> dict[str, str]:
    """Put the texts into the store, those that lie there already not again; name -> SHA-256."""
    named = digests(texts)
    kept = set(store.names(f"{FOLDER}/"))
    for name, text in texts.items():
        if place(named[name]) not in kept:
            with suppress(Exists):  # the same bytes: the name says so, and the verifiers hold it to that
                store.create(place(named[name]), text)
    return named


def named(events: Iterable[Event]) -> frozenset[str]:
    """The SHA-256 of each text that the runs among the events were judged by."""
    opened = (content for _, content in of_type(events, RunOpened))
    return frozenset(str(sha256) for content in opened for sha256 in given(content.preimages, {}).values())
