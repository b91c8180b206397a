"""Writes docs/reference.md from the code: `python docs/generate_reference.py`; with `--check` it compares and writes nothing.

Everything a reader types or meets is taken from where it is defined: commands from the command line, options from pytest's parser, markers, fixtures and
hooks from the plug-in, errors from their tree, keys of deploy.yaml from the policy models. To change a description, change the help text or docstring.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import pytest_deploy

PAGE = Path(__file__).with_name("reference.md")
PROGRAM = "python deploy.py"

HEAD = """# Reference

Made by `make reference` from the code: change help texts and docstrings there, not this page. How things are used stands in
[operating.md](operating.md), [configuration.md](configuration.md) and [writing-steps.md](writing-steps.md).
"""

EXIT_CODES: Mapping[int, str] = {
    0: "deployed, passed, still needed (a plan), or done",
    1: "refused, failed or rolled back: the environment is as it was",
    2: "the same, caused by a signal",
    3: "internal error; nothing left changed",
    4: "usage or configuration; nothing written",
    20: "a person is needed: rollback failed or impossible, evidence incomplete after a change, or an unrecovered run",
}
"""What a caller may conclude from each exit code; the errors below name the code they end with."""

VARIABLES: Mapping[str, str] = {
    "PGHOST": "a PostgreSQL server to use in place of the embedded one, with libpq's other variables (`PGPORT`, `PGUSER`, `PGPASSWORD`, ...)",
    "PGDATABASE": "the environment's database on a server that is there already; `postgres` is the server's own, and does not count",
    "GITHUB_TOKEN": "the token for anchors at GitHub; `anchors.github.token_variable` names another variable",
    "STORAGE_EMULATOR_HOST": "an emulator of Cloud Storage at a loopback address, for rehearsals; a real environment refuses to run with it",
    "GOOGLE_APPLICATION_CREDENTIALS": "the credential file of a sign-in to Google, as the log-in step in CI sets it; read to refuse one that impersonates no service account",
    "GOOGLE_CLOUD_PROJECT": "the project that Google's storage client names in its requests",
    "PYTEST_DEPLOY_PGDATA_ROOT": "the folder below which the embedded platform keeps databases, else `/var/tmp`",
    "XDG_CACHE_HOME": "below it lies the private folder for compiled modules, where only commits are deployed; else below `HOME`",
    "HOME": "as above",
    "GITHUB_STEP_SUMMARY": "the file to which a run in GitHub Actions adds how it ended, for the page of its job",
}
"""The environment variables that this package reads itself."""


class Row(NamedTuple):
    """One line of a table."""

    name: str
    """What the reader types or meets, without backticks."""
    meaning: str


def render() -> str:
    """The whole page."""
    parts = [
        HEAD,
        "## pytest options\n\n" + table("option", options()),
        "## Exit codes\n\n" + table("code", (Row(str(code), meaning) for code, meaning in EXIT_CODES.items())),
        "How a run that was decided exits; nothing that is read, printed or raised afterwards changes it. A run that was opened and never sealed exits 20: "
        "its guard says which, and the command that finishes it.\n\n" + endings(),
        "## Commands\n\n`pytest-deploy`, `python -m pytest_deploy` and, in this checkout, `python deploy.py` are one program; the commands that it prints begin as it was called.\n\n"
        + "\n".join(commands()),
        "## Markers\n\n" + table("marker", markers()),
        "## Fixtures\n\n" + table("fixture", fixtures()),
        "## Hooks\n\nFor `conftest.py`, which may hold no others. One that raises before the seal is an internal error of the run: what was changed is rolled back, exit 3.\n\n"
        + table("hook", hooks()),
        "## Errors\n\n" + errors(),
        "## Public API\n\nWhat suites, conftests and extensions import from `pytest_deploy`, beside the errors above; every other module is internal.\n\n"
        + table("name", public_names()),
        "## deploy.yaml\n\nEach key of an environment. What stands at the top level of the file holds for every environment; what an environment says itself wins.\n\n"
        + policy(),
        "## Environment variables\n\n" + table("variable", (Row(*item) for item in VARIABLES.items())),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


# --- What pytest is given -------------------------------------------------------------------------------------------------


def options() -> Iterator[Row]:
    """The `--deploy-*` options with their help."""
    from pytest_deploy.plugin import options as declared

    parser = pytest.Parser(_ispytest=True)
    declared.add(parser)
    for option in parser.getgroup("deploy").options:
        attributes = option.attrs()
        value = attributes.get("metavar")
        yield Row(f"{option.names()[0]}={value}" if value else option.names()[0], attributes["help"])


def markers() -> Iterator[Row]:
    """The markers a step may carry."""
    from pytest_deploy.plugin.plugin import MARKERS

    for marker in MARKERS:
        signature, _, meaning = marker.partition(": ")
        yield Row(f"@pytest.mark.{signature}", meaning)


DESCRIBED_ELSEWHERE = frozenset({"environment", "policy"})
"""Fixtures whose members need no rows: the one is a bundle of the others, the keys of the other are those of deploy.yaml."""


def fixtures() -> Iterator[Row]:
    """The fixtures a step may ask for, what each offers after it."""
    from pytest_deploy.plugin import fixtures as offered

    for name, found in vars(offered).items():
        if "fixture" in type(found).__name__.lower():
            yield Row(name, paragraph(found.__doc__))
            if name not in DESCRIBED_ELSEWHERE:
                yield from members(name, given_by(found.__wrapped__))


def given_by(fixture: Callable[..., object]) -> type:
    """The class of what a fixture gives: what it returns, or yields."""
    annotation = typing.get_type_hints(fixture)["return"]
    found: type = get_args(annotation)[0] if get_args(annotation) else annotation
    return found


def members(name: str, offered: type) -> Iterator[Row]:
    """The public methods and properties of a class that say what they do."""
    for member, found in vars(offered).items():
        function = found.fget if isinstance(found, property) else found
        if member.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
        given = "" if isinstance(found, property) else f"({', '.join(map(as_given, parameters))})"
        yield Row(f"{name}.{member}{given}", paragraph(function.__doc__))


def as_given(parameter: inspect.Parameter) -> str:
    """A parameter as the caller writes it, without its type."""
    if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
        return str(parameter).partition(":")[0]
    if parameter.default is parameter.empty:
        return parameter.name
    return f"{parameter.name}={'...' if callable(parameter.default) else repr(parameter.default)}"


def hooks() -> Iterator[Row]:
    """The hooks a conftest may implement, with their parameters."""
    from pytest_deploy.plugin import hookspecs

    for name, found in vars(hookspecs).items():
        if name.startswith("pytest_deploy_"):
            yield Row(f"{name}({', '.join(inspect.signature(found).parameters)})", paragraph(found.__doc__))


# --- The command line -----------------------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """One section a command, sub-commands after their group."""
    from pytest_deploy.cli import app

    yield from sections(typer.main.get_command(app), PROGRAM)


def sections(command: Any, path: str) -> Iterator[str]:  # a click command; typer gives it no public type
    """The sections of a command's sub-commands."""
    context = typer.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if hasattr(found, "list_commands"):
            yield from sections(found, f"{path} {name}")
        else:
            yield section(found, f"{path} {name}")


def section(command: Any, path: str) -> str:
    """How a command is typed, what it does, and its arguments and options."""
    context = typer.Context(command, info_name=path)
    rows = [
        Row(*(text or "" for text in found))
        for parameter in command.get_params(context)
        if (found := parameter.get_help_record(context)) is not None and "--help" not in found[0]
    ]
    usage = re.sub(r"\{(\w+)\}", r"\1", " ".join([path, *command.collect_usage_pieces(context)]))
    text = f"### {path.removeprefix(PROGRAM).strip()}\n\n    {usage}\n\n{inspect.cleandoc(command.help or '')}\n"
    return f"{text}\n{table('argument or option', rows)}" if rows else text


# --- Errors ---------------------------------------------------------------------------------------------------------------


def endings() -> str:
    """How each ending of a decided run exits."""
    from pytest_deploy.pipeline.outcome import ENDINGS, EVIDENCE

    said = {(False,): "no", (True,): "yes", (False, True): "either"}
    rows = [
        f"| {', '.join(one.outcomes)} | {said[one.changed]} "
        f"| {'evidence incomplete' if one.causes == (EVIDENCE,) else ', '.join(one.causes)} | `{one.code}` |"
        for one in ENDINGS
    ]
    return "\n".join(["| outcome | something changed | cause | code |", "|---|---|---|---|", *rows, ""])


def errors() -> str:
    """Every class of the error tree with the exit code it ends with."""
    from pytest_deploy import errors as tree

    rows = [
        f"| `{name}` | {found.exit_code} | {escaped(paragraph(found.__doc__))} |"
        for name, found in vars(tree).items()
        if inspect.isclass(found) and issubclass(found, tree.DeployError)
    ]
    return "\n".join(["| class | exit | meaning |", "|---|---|---|", *rows, ""])


# --- Public API -----------------------------------------------------------------------------------------------------------


def public_names() -> Iterator[Row]:
    """Every public name but the errors, with what it is."""
    for name in pytest_deploy.__all__:
        found = getattr(pytest_deploy, name)
        if not (inspect.isclass(found) and issubclass(found, pytest_deploy.DeployError)):
            yield Row(name, paragraph(found.__doc__))


# --- deploy.yaml ----------------------------------------------------------------------------------------------------------


def policy() -> str:
    """Every key of an environment, nested ones by their path, with type, default and meaning."""
    from pytest_deploy.policy.policy import Policy

    rows = [
        f"| `{path}` | {escaped(kind)} | {escaped(default)} | {escaped(meaning)} |"
        for path, kind, default, meaning in keys(Policy)
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])


SET_BY_THE_PROGRAM = frozenset({"environment", "settings"})
"""Fields of the policy that stand in no file."""


def keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Path, type, default and meaning of each key of a section, the keys of its own sections after it."""
    for name, field in model.model_fields.items():
        if not above and name in SET_BY_THE_PROGRAM:
            continue
        path = f"{above}{name}"
        inner = section_of(field.annotation)
        meaning = paragraph(field.description)
        yield path, type_of(field.annotation), default_of(field.get_default(call_default_factory=True)), meaning
        if inner is not None:
            yield from keys(inner, f"{path}.")


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds, or None where it holds a value."""
    for found in (annotation, *get_args(annotation)):
        if inspect.isclass(found) and issubclass(found, BaseModel):
            return found
    return None


WORDS: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
    time: "time of day",
    Any: "any value",
}
"""The types of values, as deploy.yaml writes them."""

CONTAINERS: Mapping[Any, str] = {tuple: "list of {}", Mapping: "mapping of {} to {}"}
"""The types that hold others."""


def type_of(annotation: Any) -> str:
    """A type in the words of deploy.yaml."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if section_of(annotation) is annotation:
        return "section"
    if origin is Annotated:
        return type_of(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    words = [type_of(one) for one in inner if one is not ...]
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(words)
    if origin in CONTAINERS:
        return CONTAINERS[origin].format(*words)
    return WORDS[annotation]


def default_of(value: Any) -> str:
    """A default as deploy.yaml would write it."""
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, BaseModel):
        return "its own defaults"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, Mapping):
        return "{}" if not value else str(dict(value))
    return f"{value:%H:%M}" if isinstance(value, time) else str(value) or "empty"


# --- Markdown -------------------------------------------------------------------------------------------------------------


def table(what: str, rows: typing.Iterable[Row]) -> str:
    """A table of names and meanings."""
    lines = [f"| `{escaped(row.name)}` | {escaped(row.meaning)} |" for row in rows]
    return "\n".join([f"| {what} | meaning |", "|---|---|", *lines, ""])


def escaped(text: str) -> str:
    """Text that a cell of a table can hold."""
    return " ".join(text.split()).replace("|", "\\|")


def paragraph(doc: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(inspect.cleandoc(doc or "").partition("\n\n")[0].split())


def main(say: Callable[[str], object] = print) -> int:
    """Write the page, or compare it. Returns the exit code."""
    text = render()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        say(f"{PAGE.name} is not what the code says now: run `make reference` and look at what changed")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
