"""Self-contained pages: one file, no network, no script but its own.

Style and script are in the page, and the page's own content security policy allows exactly these two, by digest, and
nothing else: no image, no font, no request. Every value is escaped by the template engine; a name the template does
not know is an error, never an empty place.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import given
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.reports.format import response_time, seconds, share, utc

_PACKAGE = "pytest_deploy.reports"


def render(template: str, values: Mapping[str, Any], *, running_foot: str = "") -> str:
    """A page from `pages/<template>`.

    `running_foot` is printed at the foot of every sheet of paper: what names a run; a character that could end a CSS string is left out.
    """
    style = _file("page.css").replace("RUNNING-FOOT", re.sub("[^A-Za-z0-9 .:-]", "", running_foot))
    script = _file("tables.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    own = {"style": Markup(style), "script": Markup(script)}  # noqa: S704  our own two files, no value in them
    return _environment().get_template(template).render(values, **own, content_security_policy=policy)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["share"] = share
    environment.filters |= {
        "utc": utc,
        "seconds": seconds,
        "response_time": response_time,
        "shown": escape_hidden,
        "given": given,
        "stamp": stamp,
        "text_content": _text_content,
        "data_json": _data_json,
        "quoted": shlex.quote,
        "step_title": title_of,
    }
    return environment


def _data_json(event: Event) -> str:
    return json.dumps(event.content.as_data(), sort_keys=True, ensure_ascii=True)


def _text_content(text: str) -> Markup:
    """Text inside an element, never in an attribute: quotes stay as they are, which makes a page of JSON a third smaller."""
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))  # noqa: S704  all that could open a tag is gone


def _file(name: str) -> str:
    return files(_PACKAGE).joinpath("pages", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
