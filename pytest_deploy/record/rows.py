"""What PostgreSQL says of rows may stand in no record and no report: it may hold a subject's data.

DETAIL, CONTEXT, the statement and its parameters: an error is cut to its first sentence, a text from the first such word on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pytest_deploy.record.redaction import redacted

ROWS_CUT: Final = "[cut: may hold rows]"

_VALUE: Final = re.compile(
    r"(?P<said>(?:invalid input (?:syntax|value) for [^:\n\"]{1,80}|date/time field value out of range"
    r"|malformed (?:array|range|record) literal|invalid value for parameter \"[^\"\n]*\")): \"(?!\[cut).*?\"(?=$|[\s,;)\\'\"])",
    re.DOTALL,
)
_OUT_OF_RANGE: Final = re.compile(r"value \"(?!\[cut)[^\"]*\" (?P<said>is out of range for type)")
_ROWS: Final = re.compile(
    r"(?P<word>(?:DETAIL|CONTEXT|STATEMENT|QUERY|PARAMETERS):  |Failing row contains \(|Key \([^)\n]*\)=\()(?!\[cut).*?"
    # Where a traceback goes on; what is none of it may be a row's.
    r"(?P<rest>\n(?:\S+\.py:\d+: |(?:_ ){5}|-{5,} Captured|={10,})|\Z)",
    re.DOTALL,
)


def cut_rows(text: str) -> str:
    """A text without what PostgreSQL may have said of rows in it."""
    text = _VALUE.sub(rf'\g<said>: "{ROWS_CUT}"', text)
    text = _OUT_OF_RANGE.sub(rf'value "{ROWS_CUT}" \g<said>', text)
    return _ROWS.sub(lambda found: f"{found['word']}{ROWS_CUT}{found['rest']}", text)


def cut_rows_in_file(content: bytes) -> bytes:
    """The same for a file: each text of JSON by itself, plain text as a whole; what is neither was made of texts that were cut."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    if text.lstrip().startswith("<"):
        return content
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return cut_rows(text).encode()
    clean = redacted(parsed, cut_rows)
    return content if clean == parsed else json.dumps(clean, ensure_ascii=False).encode()


def cut_rows_in_error(error: BaseException) -> None:
    """Cut a database's error, and every error it came from or carries, in place: whoever prints them prints no row."""
    for member in error_chain(error):
        primary = getattr(getattr(member, "diag", None), "message_primary", None)
        if primary is not None:
            member.args = (cut_rows(primary),)


def error_chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its causes, and the members of groups, each once."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        member = todo.pop()
        if member is None or id(member) in seen:
            continue
        seen.add(id(member))
        yield member
        todo += [member.__cause__, member.__context__, *getattr(member, "exceptions", ())]
