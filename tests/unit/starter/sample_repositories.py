"""Repositories as people have them before they deploy with this: the files of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DBMATE = "-- migrate:up\ncreate role parcels_app nologin;\ncreate table parcel (id bigint);\n-- migrate:down\ndrop table parcel;\n"
FLASK: Mapping[str, str] = {
    "Procfile": "web: gunicorn parcels.web:app --workers 2\nworker: python -m parcels.work\n",
    "pyproject.toml": "[project]\nname = 'Parcels_API'\ndependencies = ['flask', 'gunicorn', 'psycopg[binary]']\n[tool.ruff]\n[tool.mypy]\nfiles = ['parcels']\n",
    "parcels/web.py": "from flask import Flask\napp = Flask(__name__)\n@app.get('/healthz')\ndef health(): return {}\n",
    "tests/test_web.py": "def test_web(): pass\n",
    "db/migrations/20260102030405_parcel.sql": DBMATE,
    "Dockerfile": "FROM python:3.12\nEXPOSE 8000\nCMD ['another']\n",
}
FASTAPI: Mapping[str, str] = {
    "requirements.txt": "fastapi==0.115\nuvicorn\n",
    "src/api/main.py": "from fastapi import FastAPI\napp: FastAPI = FastAPI()\n",
    "pytest.ini": "[pytest]\ntestpaths = checks\n",
    "checks/test_api.py": "def test_api(): pass\n",
}
DJANGO: Mapping[str, str] = {
    "manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n",
    "requirements.txt": "Django>=5\ngunicorn\npsycopg2-binary\n",
    "shop/settings.py": "import os\nURL = os.environ['DATABASE_URL']\n",
    "shop/urls.py": "urlpatterns = [path('health/', health)]\n",
    "shop/orders/migrations/0001_initial.py": "",
    "shop/orders/tests.py": "",
}
ALEMBIC: Mapping[str, str] = {
    "pyproject.toml": "[project]\nname = 'depot'\ndependencies = ['alembic', 'sqlalchemy', 'psycopg']\n",
    "alembic.ini": "[alembic]\nscript_location = %(here)s/alembic\n",
    "alembic/env.py": "import os\nurl = os.environ['DATABASE_URL']\n",
    "alembic/versions/1975ea83b712_parcel.py": "op.execute('create role depot_app nologin')\n",
    "serve.py": "",
}
NODE: Mapping[str, str] = {
    "package.json": '{"name": "@parcels/price-api", "scripts": {"start": "node server.js --quiet", "lint": "eslint .", "test": "node --test"}}\n',
    "server.js": 'const routes = { "/health": 1 };\n',
    "node_modules/other/package.json": '{"name": "other"}\n',
}
GO: Mapping[str, str] = {
    "go.mod": "module example.org/tools/parcels/v2\n\ngo 1.22\n",
    "cmd/parcels/main.go": 'package main\nfunc main() { http.HandleFunc("/livez", live) }\n',
    "cmd/parcels/main_test.go": "package main\n",
}
SITE: Mapping[str, str] = {"public/index.html": "<h1>Parcels</h1>\n", "public/more.html": "<h1>More</h1>\n"}
EMPTY: Mapping[str, str] = {}
MONOREPO: Mapping[str, str] = {
    "services/parcels/package.json": '{"name": "parcels", "scripts": {"start": "next start", "test": "echo \\"Error: no test specified\\" && exit 1"}}\n',
    "services/parcels/migrations/V0001__parcel.sql": "create table parcel (id bigint);\n",
    "services/letters/go.mod": "module letters\n",
}
KINDS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "flask": (FLASK, ""),
    "fastapi": (FASTAPI, ""),
    "django": (DJANGO, ""),
    "alembic": (ALEMBIC, ""),
    "node": (NODE, ""),
    "go": (GO, ""),
    "static site": (SITE, ""),
    "empty": (EMPTY, ""),
    "monorepo": (MONOREPO, "services/parcels"),
}
"""The files of each kind, and what `--service` says."""


def write(root: Path, files: Mapping[str, str]) -> Path:
    """The files, in a folder called `Größe 7 shop`."""
    place = root / "Größe 7 shop"
    place.mkdir()
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return place
