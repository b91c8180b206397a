"""Pages that other report writers make: whatever is in them, no script but the writer's own runs when they are opened.

pytest-html puts cells into its page as they are. They are escaped before it gets them (plugin/report_writers.py), and the
sealed page carries a content security policy that names one script by digest, the one that pytest-html is installed with: it may
do nothing else, and ask nobody. What the page itself holds has no say in it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

_SCRIPT: Final = re.compile(rb"<script>(.*?)</script", re.DOTALL)
_HEAD: Final = b"<head>"


def with_policy(page: bytes) -> bytes:
    """The page with a content security policy for it, first in its head. Raises ValueError where it has no head."""
    before, head, after = page.partition(_HEAD)
    if not head:
        raise ValueError("the page has no <head>: nothing can say there which scripts may run")
    own = (script for script in _SCRIPT.findall(after) if script.split() == _own_script().split())
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in own]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return before + head + f'<meta http-equiv="Content-Security-Policy" content="{policy}">'.encode() + after


@cache
def _own_script() -> bytes:
    """What pytest-html puts into its pages, as it is installed; the template indents it."""
    return files("pytest_html").joinpath("resources", "app.js").read_bytes()
