"""What starts the service, by the files that tell it best; where none does, a line that a person has to write."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pytest_deploy.starter import containers
from pytest_deploy.starter.containers import Command
from pytest_deploy.starter.source_files import below, json_object, section, text, toml
from pytest_deploy.starter.told import Told

_ADDRESS: Final = '"${HOST:-0.0.0.0}"'
_SETTINGS: Final = re.compile(r"DJANGO_SETTINGS_MODULE[\"'],\s*[\"'](\w+(?:\.\w+)*)\.settings")
_APPLICATION: Final = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(FastAPI|Flask|Starlette|Quart)\(", re.MULTILINE)
_ASGI: Final = frozenset({"FastAPI", "Starlette", "Quart"})
SITE_FOLDERS: Final = (".", "public", "site", "dist", "docs", "html", "www")


def read(folder: Path) -> Told[Command]:
    """The command, by the first that tells one."""
    for ask in _ASKED:
        if found := ask(folder):
            return found
    return Told(("./start",), asks="what starts the service, as a list of words; it listens where PORT says")


def dependencies(folder: Path) -> str:
    """The names of what a Python or node service needs, as its files list them; one text to look for a name in."""
    project = toml(folder / "pyproject.toml")
    files = [text(path) for path in sorted(folder.glob("requirements*.txt"))]
    listed = [*section(project, "project").get("dependencies", []), *section(project, "tool", "poetry", "dependencies")]
    node = section(json_object(folder / "package.json"), "dependencies")
    return "\n".join(
        [*files, *map(str, listed), *map(str, node), text(folder / "Pipfile"), text(folder / "go.mod")]
    ).lower()


def needs(folder: Path, name: str) -> bool:
    """Whether a distribution of this name is among the dependencies."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", dependencies(folder)) is not None


def site_folder(folder: Path) -> str | None:
    """The folder of a static site, from `folder`; None where there is none."""
    return next((name for name in SITE_FOLDERS if (folder / name / "index.html").is_file()), None)


def _of_node(folder: Path) -> Told[Command] | None:
    start = section(json_object(folder / "package.json"), "scripts").get("start")
    if not isinstance(start, str) or not start.strip():
        main = next((name for name in ("server.js", "index.js", "app.js") if (folder / name).is_file()), None)
        return Told(("node", main), main) if main and (folder / "package.json").is_file() else None
    plain = start.startswith("node ") and containers.of_line(start)[0] == "node"
    # npm hands no signal on: where it starts node alone, node is started.
    return Told(tuple(shlex.split(start)) if plain else ("npm", "start"), "package.json")


def _of_django(folder: Path) -> Told[Command] | None:
    if not (folder / "manage.py").is_file():
        return None
    project = _SETTINGS.search(text(folder / "manage.py"))
    if project and needs(folder, "gunicorn"):
        return Told(("gunicorn", f"{project[1]}.wsgi"), "manage.py")
    line = 'exec python manage.py runserver --noreload "${HOST:-0.0.0.0}:$PORT"'
    return Told(("sh", "-c", line), "manage.py")


def _of_application(folder: Path) -> Told[Command] | None:
    """A module of Python that makes a web application."""
    for path in below(folder, ".py"):
        if "test" in path.name or not (found := _APPLICATION.search(text(path))):
            continue
        places = path.relative_to(folder).with_suffix("").parts
        if places[0] == "src":
            places = places[1:]
        module, by = ".".join(places).removesuffix(".__init__"), path.relative_to(folder).as_posix()
        name = f"{module}:{found[1]}"
        if not re.fullmatch(r"[\w.]+:\w+", name):
            continue
        if found[2] in _ASGI:
            return Told(("sh", "-c", f'exec uvicorn {name} --host {_ADDRESS} --port "$PORT"'), by)
        if needs(folder, "gunicorn"):
            return Told(("gunicorn", name), by)
        return Told(("sh", "-c", f'exec flask --app {name} run --host {_ADDRESS} --port "$PORT"'), by)
    return None


def _of_script(folder: Path) -> Told[Command] | None:
    project = section(toml(folder / "pyproject.toml"), "project")
    scripts = list(section(project, "scripts"))
    name = scripts[0] if len(scripts) == 1 else project.get("name")
    return Told((str(name),), "pyproject.toml") if name in scripts else None


def _of_go(folder: Path) -> Told[Command] | None:
    if not (folder / "go.mod").is_file():
        return None
    mains = [path.parent for path in below(folder, ".go") if re.search(r"^package main\b", text(path), re.MULTILINE)]
    place = mains[0].relative_to(folder).as_posix() if mains else "."
    return Told(("go", "run", "." if place == "." else f"./{place}"), "go.mod")


def _of_site(folder: Path) -> Told[Command] | None:
    site = site_folder(folder)
    if site is None:
        return None
    where = "" if site == "." else f" --directory {site}"
    line = f'exec python -m http.server "$PORT" --bind {_ADDRESS}{where}'
    return Told(("sh", "-c", line), "index.html" if site == "." else f"{site}/index.html")


_ASKED: Final[tuple[Callable[[Path], Told[Command] | None], ...]] = (
    containers.of_procfile,
    containers.of_dockerfile,
    _of_node,
    _of_django,
    _of_application,
    _of_script,
    _of_go,
    _of_site,
)
