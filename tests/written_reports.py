"""What the files that pytest's report writers made say of each step: passed, failed, still-needed, not-applicable, not-run.

Each reader fails where one output contradicts itself, e.g. a skipped case whose property says that it passed.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

SKIPPED = ("still-needed", "not-applicable", "not-run")
_RECORDED = re.compile(r'<td class="recorded">(.*?)</td>')
_SHOWN = re.compile(r'<td class="col-result">(.*?)</td>')


def in_junit(file: Path) -> dict[str, str]:
    """By node id, from junit.xml."""
    (suite,) = ET.parse(file).getroot()  # noqa: S314 -- pytest has just written it
    told = {}
    for case in suite.findall("testcase"):
        nodeid = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}"
        (outcome,) = (p.attrib["value"] for p in case.findall("properties/property") if p.attrib["name"] == "outcome")
        (kind, message) = next(
            ((one.tag, one.attrib["message"]) for one in case if one.tag in {"failure", "error", "skipped"}),
            ("", ""),
        )
        told[nodeid] = _of_kind(kind.replace("error", "failure"), message)
        assert told[nodeid] == _plain(outcome), (file, nodeid, kind, message, outcome)
    return told


def in_pytest_html(file: Path) -> dict[str, str]:
    """By node id, from pytest.html; its own word is green for Passed alone."""
    blob = re.search(r'data-jsonblob="(.*?)"', file.read_text(encoding="utf-8"), re.DOTALL)
    assert blob is not None, f"{file} holds no rows"
    told: dict[str, str] = {}
    for nodeid, rows in json.loads(html.unescape(blob[1]))["tests"].items():
        cells = ["".join(row["resultsTableRow"]) for row in rows]
        (recorded,) = {end for cell in cells for end in _RECORDED.findall(cell)}
        told[nodeid] = _plain(recorded.replace(" ", "-"))
        shown = {word for cell in cells for word in _SHOWN.findall(cell)}
        expected = {"passed": {"Passed"}, "failed": {"Failed", "Error"}}.get(told[nodeid], {"Skipped"})
        assert shown <= expected, (file, nodeid, shown, recorded)
    return told


def in_allure(folder: Path) -> dict[str, str]:
    """By node id, from allure-results; what it calls skipped by the one category that it falls into."""
    categories = json.loads((folder / "categories.json").read_text(encoding="utf-8"))
    told = {}
    for path in folder.glob("*-result.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        (nodeid,) = [label["value"] for label in said["labels"] if label["name"] == "step"]
        assert nodeid not in told, "a step has two results"
        message = (said.get("statusDetails") or {}).get("message", "")
        if said["status"] == "skipped":
            (name,) = (one["name"] for one in categories if re.fullmatch(one["messageRegex"], message))
            told[nodeid] = name.lower().replace(" ", "-")
        else:
            told[nodeid] = {"passed": "passed", "failed": "failed", "broken": "failed"}[said["status"]]
    return told


def _of_kind(kind: str, message: str) -> str:
    if kind == "skipped":
        (ended,) = (end for end in SKIPPED if message.startswith(f"{end.replace('-', ' ')}: "))
        return ended
    return {"": "passed", "failure": "failed"}[kind]


def _plain(outcome: str) -> str:
    return "failed" if outcome == "error" else outcome
