"""The pages name everything there is: options, markers, hooks, fixtures, commands, keys, errors. Nothing is found out by reading code."""

from __future__ import annotations

import functools
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

import pytest_deploy
from docs import generate_reference
from pytest_deploy import errors
from pytest_deploy.cli import app
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from pytest_deploy.plugin import fixtures, hookspecs, plugin
from pytest_deploy.policy.asked_gates import GATE_NAMES
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.storage import GitHub
from pytest_deploy.record.bucket import EMULATOR
from pytest_deploy.record.events import RESERVED, TYPES
from pytest_deploy.record.meanings import MEANINGS

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
ROWS_OF_A_CLAUSE = ("asks for", "built", "stand-in", "seen live", "events", "tests", "stays with you")


def clauses() -> list[tuple[str, dict[str, str]]]:
    """Each clause of the pages about regulations: where it stands, and its rows."""
    found = []
    for page in ("part11.md", "annex11.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for head, block in re.findall(r"^### (.+)\n\n((?:\|.*\n)+)", text, re.MULTILINE):
            lines = [
                re.fullmatch(r"\| ([^|]+) \| ([^|]+) \|", line) for line in block.splitlines() if line != "|---|---|"
            ]
            assert all(lines), f"{page}: {head}: not two cells a line"
            found.append((f"{page}: {head}", {line[1]: line[2] for line in lines if line}))
    return found


CLAUSES = clauses()


@functools.cache
def options() -> list[str]:
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    return sorted(set(re.findall(r"--deploy-[a-z]+", said.stdout)))


def commands(command: Any, path: str = "") -> Iterator[str]:
    """Every command by its words, those of a group after the group's name."""
    for name in command.list_commands(typer.Context(command)):
        found = command.get_command(typer.Context(command), name)
        if hasattr(found, "list_commands"):
            yield from commands(found, f"{path}{name} ")
        else:
            yield f"{path}{name}"


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Every field of a policy model and of the models that its fields hold."""
    for name, field in model.model_fields.items():
        yield name
        for inner in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(inner) and issubclass(inner, BaseModel):
                yield from keys(inner)


def test_the_reference_is_what_the_code_says() -> None:
    assert generate_reference.PAGE.read_text(encoding="utf-8") == generate_reference.render(), "run `make reference`"


def test_an_old_reference_is_told_and_not_mended_by_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "reference.md"
    monkeypatch.setattr(generate_reference, "PAGE", page)
    page.write_text("old", encoding="utf-8")
    said: list[object] = []

    monkeypatch.setattr(sys, "argv", ["generate_reference.py", "--check"])
    assert generate_reference.main(said.append) == 1
    assert [str(words) for words in said] == [
        "reference.md is not what the code says now: run `make reference` and look at what changed"
    ]
    assert page.read_text(encoding="utf-8") == "old"

    monkeypatch.setattr(sys, "argv", ["generate_reference.py"])
    assert generate_reference.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate_reference.py", "--check"])
    assert generate_reference.main() == 0


def test_every_option_is_in_the_reference() -> None:
    found = options()

    assert found
    assert [option for option in found if f"| `{option}" not in REFERENCE] == []


@pytest.mark.parametrize("marker", [marker.partition("(")[0] for marker in plugin.MARKERS])
def test_every_marker_is_in_the_reference(marker: str) -> None:
    assert f"| `@pytest.mark.{marker}(" in REFERENCE


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("pytest_deploy_")])
def test_every_hook_is_in_the_reference_with_its_parameters(hook: str) -> None:
    parameters = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)

    assert f"| `{hook}({parameters})` |" in REFERENCE


@pytest.mark.parametrize(
    "fixture", [name for name, found in vars(fixtures).items() if "fixture" in type(found).__name__.lower()]
)
def test_every_fixture_is_in_the_reference(fixture: str) -> None:
    assert f"| `{fixture}` |" in REFERENCE


@pytest.mark.parametrize("command", list(commands(typer.main.get_command(app))))
def test_every_command_is_in_the_reference(command: str) -> None:
    assert f"\n### {command}\n\n    python deploy.py {command} [OPTIONS]" in REFERENCE


def test_every_key_of_deploy_yaml_is_in_the_reference() -> None:
    row = r"^\| `([a-z_.]+\.)?%s` \| [^|]+ \| [^|]+ \| [^|]{4,} \|$"
    found = set(keys(Policy)) - generate_reference.SET_BY_THE_PROGRAM

    assert len(found) > 50
    assert [key for key in sorted(found) if not re.search(row % key, REFERENCE, re.MULTILINE)] == []


def test_every_variable_that_the_package_reads_is_in_the_reference() -> None:
    read = {
        name
        for path in (ROOT / "pytest_deploy").rglob("*.py")
        for name in re.findall(r"environ(?:\.get)?[\[(]\"([A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }

    assert read
    of_others = {
        "PATH",
        "PYTEST_ADDOPTS",
        "PYTEST_PLUGINS",
    }  # said where they are read: how programs are found, what pytest is given
    constants = {EMULATOR, ROOT_VARIABLE, GitHub.model_fields["token_variable"].default}
    assert sorted((read - of_others | constants) - set(generate_reference.VARIABLES)) == []


@pytest.mark.parametrize(
    "name, code",
    [
        (name, found.exit_code)
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, errors.DeployError)
    ],
)
def test_every_error_class_is_in_the_reference_with_its_exit_code(name: str, code: int) -> None:
    assert f"| `{name}` | {code} | " in REFERENCE
    assert f"| `{code}` | {generate_reference.EXIT_CODES[code]} |" in REFERENCE


def test_every_public_name_is_in_the_reference() -> None:
    assert [name for name in pytest_deploy.__all__ if f"| `{name}` |" not in REFERENCE] == []


@pytest.mark.parametrize(
    "name",
    [name for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, errors.DeployError)],
)
def test_every_error_class_is_drawn_in_the_tree(name: str) -> None:
    assert name == "Faults" or re.search(rf"\b{name}\b", errors.__doc__ or "")


def test_the_product_supports_part_11_and_claims_no_compliance() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "pytest_deploy").rglob("*.py")]

    assert [
        path.name
        for path in texts
        if re.search(r"\bis (fully )?compliant\b", path.read_text(encoding="utf-8").replace('never "is compliant"', ""))
    ] == []


@functools.cache
def written_tests() -> frozenset[str]:
    return frozenset(
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("clause, rows", CLAUSES, ids=[clause for clause, _ in CLAUSES])
def test_a_clause_has_every_row_and_names_tests_and_events_that_there_are(clause: str, rows: dict[str, str]) -> None:
    assert tuple(rows) == ROWS_OF_A_CLAUSE, clause
    for row, known in (("events", TYPES.keys() - RESERVED.keys()), ("tests", written_tests())):
        named = rows[row].split()
        assert named == ["none"] or [name for name in named if name.strip("`") not in known] == []


@pytest.mark.parametrize(
    "page, heads",
    [
        ("part11.md", [f"11.10({letter})" for letter in "abcdefghijk"]),
        ("part11.md", ["11.1(e)", "11.30", "11.50", "11.70", "11.100(a)", "11.100(b)", "11.100(c)"]),
        ("part11.md", [f"11.200(a)({number})" for number in "123"] + ["11.200(b)"]),
        ("part11.md", [f"11.300({letter})" for letter in "abcde"]),
        ("annex11.md", [f"Annex 11, {number}" for number in range(1, 18)]),
        ("annex11.md", ["4.2.2", "4.2.3", "4.3.4", "4.3.8"]),
        ("annex11.md", ["CSA Intended use", "CSA Risk", "CSA Issues", "CSA Conclusion", "CSA Date", "CSA Review"]),
    ],
)
def test_no_clause_is_left_out(page: str, heads: list[str]) -> None:
    assert [
        head for head in heads if not any(f"{clause} ".startswith(f"{page}: {head} ") for clause, _ in CLAUSES)
    ] == []


def test_each_type_of_event_that_people_sign_is_of_some_clause() -> None:
    """And so is every gate's answer, and what tells of the log's keys and clocks."""
    cited = {name.strip("`") for _, rows in CLAUSES for name in rows["events"].split()}

    assert sorted({*MEANINGS, "gate.refused", "key.enrolled", "key.revoked", "clock.skewed"} - cited) == []


def test_decisions_are_numbered_without_a_gap_and_each_is_in_the_index() -> None:
    pages = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")

    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))
    assert re.findall(r"^\| \[\d{4}\]\((.+?)\) \|", index, re.MULTILINE) == pages


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda path: path.name[:4])
def test_a_decision_has_context_decision_and_consequences_and_its_title_in_the_index(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number, title = text.splitlines()[0].removeprefix("# ").split(" ", 1)
    superseded = text.splitlines()[2].startswith("Superseded by [")

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert superseded or text.splitlines()[2] == "Accepted."
    assert f"| [{number}]({page.name}) | {title}{' (superseded)' if superseded else ''} |" in (
        DECISIONS / "README.md"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_every_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def texts() -> Iterator[tuple[str, str]]:
    """Every file that people of this project write, by its path."""
    kept = ("pytest_deploy", "tests", "suites", "docs", "examples", "migrations")
    loose = [
        path for path in ROOT.iterdir() if path.suffix in {".md", ".toml", ".yaml", ".py"} or path.name == "Makefile"
    ]
    for path in [*loose, *(found for folder in kept for found in (ROOT / folder).rglob("*"))]:
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".sql", ".sh", ".html", ".js"} and not any(
            part.startswith(".") for part in path.relative_to(ROOT).parts
        ):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_every_page_that_a_comment_or_message_names_is_there() -> None:
    named = {(where, page) for where, text in texts() for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", text)}

    assert len(named) > 10
    missing = {(where, page) for where, page in named if not (ROOT / page).exists()}
    assert sorted((where, page) for where, page in missing if not where.startswith("docs/decisions/")) == []


def test_nothing_refers_to_papers_that_a_reader_does_not_have() -> None:
    elsewhere = re.compile(r"\b(design|issue|part) [0-9]|\bresearch/|\(design\)")
    of_the_regulation = re.compile(r"21 CFR part 11|[Pp]art 11|c2sp\.org/\S+")

    found = {
        (where, line.strip())
        for where, text in texts()
        for line in text.splitlines()
        if elsewhere.search(of_the_regulation.sub("", line)) and where != "tests/unit/test_docs.py"
    }
    assert sorted(found) == []


def printed(program: str) -> list[tuple[str, str]]:
    """Each command line of a program that a page prints: the page and the words after the program."""
    pages = [page for page in PAGES if page.name != "reference.md" and page.parent != DECISIONS]
    lines = (
        (page.name, line.partition("#")[0].strip())
        for page in pages
        for line in re.findall(
            rf"(?:^    |\$ |^){program} ([a-z-][^\n`]*)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    return list(dict.fromkeys(lines))


def test_the_readme_has_120_lines_at_most() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_pages_for_whoever_installed_the_package_call_the_program_as_it_is_installed() -> None:
    """`deploy.py` lies in this checkout alone: each of these pages may say once that the two are the same."""
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs" / f"{name}.md" for name in ("operating", "writing-steps", "configuration", "your-repository")),
    ]

    said = {page.name: len(re.findall(r"deploy\.py", page.read_text(encoding="utf-8"))) for page in pages}
    assert {name: count for name, count in said.items() if count > 1} == {}


@pytest.mark.parametrize("page, line", [*printed("python deploy.py"), *printed("pytest-deploy")])
def test_a_printed_command_is_one_that_the_command_line_takes(page: str, line: str) -> None:
    words = shlex.split(line)
    command = typer.main.get_command(app)
    while hasattr(command, "get_command"):
        command = command.get_command(typer.Context(command), words.pop(0))
        assert command is not None, f"{page}: no such command: {line}"

    command.make_parser(typer.Context(command)).parse_args(words)


@pytest.mark.parametrize("page, line", printed("pytest"))
def test_a_printed_pytest_line_has_options_that_exist(page: str, line: str) -> None:
    given = {word.partition("=")[0] for word in shlex.split(line) if word.startswith("--")}

    assert sorted(given - set(options())) == [], page


def test_the_map_lists_the_folders_in_the_order_that_import_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    package = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("`pytest_deploy/__init__.py`")[0]
    told = re.findall(r"^    ([a-z_]+)(?:/|\.py)  ", package, re.MULTILINE)

    assert [name for name in told if name in layers] == [name for name in reversed(layers) if not name.startswith("(")]


def test_every_gate_is_in_the_table_of_gates() -> None:
    table = (ROOT / "docs/operating.md").read_text(encoding="utf-8")

    assert [name for name in GATE_NAMES if f"| `{name}` | " not in table] == []
