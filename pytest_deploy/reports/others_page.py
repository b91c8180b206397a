"""Pages that other report writers make: whatever is in them, no script but the writer's own runs when they are opened.

pytest-html puts cells into its page as they are. They are escaped before it gets them (plugin/report_writers.py), and the
sealed page carries a content security policy that names the page's own scripts by digest: it may do nothing else, and ask nobody.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

_SCRIPT: Final = re.compile(rb"<script>(.*?)</script", re.DOTALL)
_HEAD: Final = b"<head>"


def with_policy(page: bytes) -> bytes:
    """The page with a content security policy for it, first in its head. Raises ValueError where it has no head."""
    before, head, after = page.partition(_HEAD)
    if not head:
        raise ValueError("the page has no <head>: nothing can say there which scripts may run")
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _SCRIPT.findall(after)]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return before + head + f'<meta http-equiv="Content-Security-Policy" content="{policy}">'.encode() + after
