"""Chromium and Allure make other forms of a report, where they are installed; what they make asks nobody anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_deploy.reports.export import BROWSERS, NotMade, allure_page, print_pdf, without_analytics
from tests.required_programs import needs

TAG = """<script async src="https://www.googletagmanager.com/gtag/js?id=G-FVWC4GKEYS"></script>
<script>window.dataLayer = window.dataLayer || [];
function gtag(){dataLayer.push(arguments);}
gtag('js', new Date()); gtag('config', 'G-FVWC4GKEYS', {'report': 'awesome'});</script>"""
PROGRAM = f"<script>{'let x = 1; ' * 1000}</script>"


def installed(folder: Path, name: str, script: str) -> None:
    """Put a program on the machine, for this test."""
    place = folder / name
    place.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    place.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing installed but what a test puts there, and a shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "mkdir"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def generator(page: str, version: str = "3.18.0") -> str:
    """An `allure` of a version, that writes this page where its generator would."""
    return f"""
[ "$1" = --version ] && {{ echo {version}; exit 0; }}
while [ "$1" != -o ]; do shift; done
mkdir -p "$2"; cat > "$2/index.html" <<'END'
{page}
END"""


# --- analytics


def test_the_analytics_of_a_generator_are_cut_out_and_its_program_is_kept() -> None:
    page = without_analytics(f"<html><head>{TAG}</head><body>{PROGRAM}</body></html>")

    assert "googletagmanager" not in page
    assert "gtag" not in page
    assert PROGRAM in page


def test_the_page_is_put_under_a_policy_that_names_no_host() -> None:
    page = without_analytics("<html><head lang=en><title>x</title></head><body></body></html>")

    assert page.count("Content-Security-Policy") == 1
    assert page.index("Content-Security-Policy") < page.index("<title>")
    assert "http:" not in page.partition("<title>")[0].replace("http-equiv", "")


@pytest.mark.parametrize(
    "left", ["<img src='https://www.googletagmanager.com/x'>", f"<script>{'x;' * 3000}gtag('js')</script>"]
)
def test_a_page_that_still_names_analytics_is_not_made(machine: Path, tmp_path: Path, left: str) -> None:
    installed(machine, "allure", generator(f"<html><head>{TAG}</head><body>{left}</body></html>"))

    with pytest.raises(NotMade, match="still holds"):
        allure_page(tmp_path, tmp_path / "allure.html")

    assert not (tmp_path / "allure.html").exists()


@pytest.mark.parametrize("version", ["2.34.0", "3.18.0"])
def test_either_generation_of_allure_is_asked_for_one_page(machine: Path, tmp_path: Path, version: str) -> None:
    asked = tmp_path / "asked"
    installed(machine, "allure", f'echo "$@" >> {asked}' + generator(f"<html><head>{TAG}</head></html>", version))

    allure_page(tmp_path, tmp_path / "allure.html")

    assert "gtag" not in (tmp_path / "allure.html").read_text(encoding="utf-8")
    word = "generate --single-file --clean -o" if version.startswith("2") else "awesome --single-file -o"
    assert asked.read_text(encoding="utf-8").splitlines()[1].startswith(word)


# --- what is not there, or does not work


def test_without_the_programs_each_form_says_what_to_install(machine: Path, tmp_path: Path) -> None:
    with pytest.raises(NotMade, match="npm: allure"):
        allure_page(tmp_path, tmp_path / "allure.html")
    with pytest.raises(NotMade, match="Debian: chromium"):
        print_pdf(tmp_path / "report.html", tmp_path / "report.pdf")


def test_a_program_that_fails_is_quoted(machine: Path, tmp_path: Path) -> None:
    installed(machine, "allure", "echo no results here >&2; exit 3")

    with pytest.raises(NotMade, match="allure ended with 3: no results here"):
        allure_page(tmp_path, tmp_path / "allure.html")


def test_a_program_that_cannot_be_run_made_nothing(machine: Path, tmp_path: Path) -> None:
    """It is there, and what it asks for to run it is not."""
    installed(machine, "allure", "")
    (machine / "allure").write_text("#!/nowhere/node\n")

    with pytest.raises(NotMade, match="allure: FileNotFoundError"):
        allure_page(tmp_path, tmp_path / "allure.html")


def test_a_program_that_writes_nothing_made_nothing(machine: Path, tmp_path: Path) -> None:
    installed(machine, "allure", "exit 0")
    installed(machine, BROWSERS[0], "exit 0")

    with pytest.raises(NotMade, match=r"wrote no index\.html"):
        allure_page(tmp_path, tmp_path / "allure.html")
    with pytest.raises(NotMade, match="wrote no PDF"):
        print_pdf(tmp_path / "report.html", tmp_path / "report.pdf")


# --- the real ones


def test_chromium_prints_a_page(tmp_path: Path) -> None:
    if not any(shutil.which(name) for name in BROWSERS):
        needs("chromium")
    (tmp_path / "report.html").write_text("<!doctype html><title>x</title><p>Deployed", encoding="utf-8")

    print_pdf(tmp_path / "report.html", tmp_path / "report.pdf")

    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_the_real_allures_page_calls_nobody(tmp_path: Path) -> None:
    needs("allure")
    result = {"uuid": "1", "name": "test_it", "status": "passed", "start": 1, "stop": 2, "fullName": "a#test_it"}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "1-result.json").write_text(json.dumps(result), encoding="utf-8")

    allure_page(tmp_path / "results", tmp_path / "allure.html")

    text = (tmp_path / "allure.html").read_text(encoding="utf-8")
    assert "googletagmanager" not in text
    assert "Content-Security-Policy" in text
