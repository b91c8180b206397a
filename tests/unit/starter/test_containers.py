"""Commands of a Procfile and a Dockerfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.starter.containers import of_dockerfile, of_procfile

DOLLAR = '"$PORT"'


@pytest.mark.parametrize(
    "said, command",
    [
        ("web: gunicorn app:app", ("gunicorn", "app:app")),
        ("release: x\nweb:   node 'a b.js'  ", ("node", "a b.js")),
        ("web: uvicorn app:app --port $PORT", ("sh", "-c", "exec uvicorn app:app --port $PORT")),
        ("web: make && ./serve", ("sh", "-c", "make && ./serve")),
        ("web: A=1 ./serve", ("sh", "-c", "A=1 ./serve")),
        ("web: ./serve 'open", ("sh", "-c", "exec ./serve 'open")),
        ("worker: ./work", None),
        ("", None),
    ],
)
def test_the_web_process_of_a_procfile(tmp_path: Path, said: str, command: tuple[str, ...] | None) -> None:
    (tmp_path / "Procfile").write_text(said, encoding="utf-8")

    found = of_procfile(tmp_path)
    assert (found.value if found else None) == command


@pytest.mark.parametrize(
    "said, command",
    [
        ('FROM a\nCMD ["node", "x.js"]', ("node", "x.js")),
        ('FROM a\nENTRYPOINT ["gunicorn"]\nCMD ["app:app", "-w", \\\n "2"]', ("gunicorn", "app:app", "-w", "2")),
        ('FROM a\nCMD ["first"]\nFROM b\n# CMD ["no"]\nCMD ["second"]', ("second",)),
        ('FROM a\nCMD ["build"]\nFROM b', None),
        ("FROM a\nEXPOSE 8000/tcp\nCMD serve --port 8000", ("sh", "-c", "exec serve --port $PORT")),
        ('FROM a\nEXPOSE 8000\nCMD ["serve", "0.0.0.0:8000", "a b", "18000"]', ("sh", "-c", "exec serve \"0.0.0.0:$PORT\" 'a b' 18000")),
        ('FROM a\nEXPOSE 80\nCMD ["serve", "$x`:80"]', ("sh", "-c", 'exec serve "\\$x\\`:$PORT"')),
        ('FROM a\nCMD ["/app/serve"]', None),
        ("FROM a", None),
    ],
)  # fmt: skip
def test_the_last_stage_of_a_dockerfile(tmp_path: Path, said: str, command: tuple[str, ...] | None) -> None:
    (tmp_path / "Dockerfile").write_text(said, encoding="utf-8")

    found = of_dockerfile(tmp_path)
    assert (found.value if found else None) == command
