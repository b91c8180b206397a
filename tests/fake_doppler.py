"""Doppler's API on this machine, as far as its own program asks it to download a config's secrets.

It stands in for api.doppler.com, which is out of reach here: a service token belongs to one config of one project, and any
other is told that it may not see it. Source: docs.doppler.com/reference/secrets-download; the paths are those that the
program, version 3.77.1, asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests import http_stand_in

TOKEN = "dp.st.prd.canary-5f0b1d7e94c24a6b"
DOWNLOAD = "/v3/configs/config/secrets/download"


@dataclass
class FakeDoppler:
    """One config, and what to answer in place of it."""

    secrets: Mapping[str, str]
    project: str = "parcels"
    config: str = "prd"
    address: str = ""
    failures: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(secrets: Mapping[str, str]) -> Iterator[FakeDoppler]:
    """It, with these secrets, while the block lasts."""
    doppler = FakeDoppler(secrets)

    class Handler(http_stand_in.JsonHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            doppler.asked.append(asked.path)
            words = {name: values[0] for name, values in parse_qs(asked.query).items()}
            if doppler.failures:
                self.answer(doppler.failures.pop(0), {"success": False, "messages": ["Something went wrong"]})
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}" and TOKEN not in str(self.headers):
                self.answer(401, {"success": False, "messages": ["Invalid Service token"]})
            elif (words.get("project"), words.get("config")) != (doppler.project, doppler.config):
                self.answer(
                    403, {"success": False, "messages": ["This token does not have access to requested config"]}
                )
            elif asked.path != DOWNLOAD:
                self.answer(404, {"success": False, "messages": ["Not found"]})
            else:
                self.answer(200, dict(doppler.secrets))

    with http_stand_in.serving(Handler) as address:
        doppler.address = address
        yield doppler
