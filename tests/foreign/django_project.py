"""A Django project as its authors have it: its own migrations, run by its own command, and gunicorn. `init` writes the rest."""

from __future__ import annotations

from typing import Final

from tests.foreign.strangers_machine import Machine, last_run

PACKAGES: Final = ("django==5.2.19", "gunicorn==27.0.1")

_SETTINGS = """\
import os
from urllib.parse import parse_qsl, unquote, urlsplit

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "parcels"]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
_database = urlsplit(os.environ.get("DATABASE_URL", "postgresql:///none"))
if _database.scheme != "postgresql":
    raise ValueError("DATABASE_URL is no URL")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path[1:],
        "USER": _database.username or "",
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname or "",
        "PORT": str(_database.port or ""),
        "OPTIONS": dict(parse_qsl(_database.query)),
    }
}
"""
_URLS = """\
from django.http import JsonResponse
from django.urls import path

from parcels.models import Parcel


def parcels(request):
    if request.method == "POST":
        Parcel.objects.create(sender=request.GET["sender"])
    return JsonResponse({"parcels": Parcel.objects.count()})


urlpatterns = [path("health/", lambda request: JsonResponse({})), path("parcels", parcels)]
"""
_GRANTS = """\
do $$ begin
  if not exists (select from pg_roles where rolname = 'parcels_app') then create role parcels_app nologin; end if;
end $$;
grant usage on schema public to parcels_app;
grant select, insert on parcels_parcel to parcels_app;
"""
_SMOKE = '''\
"""What a stranger can do: hand in a parcel."""

import pytest


@pytest.mark.requirement("PARCEL-1")
@pytest.mark.step(rollback=True)
def test_a_parcel_can_be_handed_in(service, record):
    before = service.call("GET", "/parcels").body["parcels"]

    answer = service.call("POST", "/parcels?sender=synthetic")

    record.expect({"parcels": before + 1}, answer.body)
    assert answer.body == {"parcels": before + 1}
    record.verified()
'''
_ACCOUNT = """\
import json

from django.core.management.base import BaseCommand

from parcels.models import Parcel


class Command(BaseCommand):
    def handle(self, *args, **options):
        self.stdout.write(json.dumps({"parcels": Parcel.objects.count()}))
"""
FILES: Final = {
    "manage.py": (
        'import os\nimport sys\n\nfrom django.core.management import execute_from_command_line\n\n'
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\nexecute_from_command_line(sys.argv)\n'
    ),
    "shop/__init__.py": "",
    "shop/settings.py": _SETTINGS,
    "shop/urls.py": _URLS,
    "shop/wsgi.py": (
        'import os\n\nfrom django.core.wsgi import get_wsgi_application\n\n'
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\napplication = get_wsgi_application()\n'
    ),
    "gunicorn.conf.py": 'import os\n\nbind = f"127.0.0.1:{os.environ[\'PORT\']}"\nworkers = 1\n',
    "parcels/__init__.py": "",
    "parcels/models.py": "from django.db import models\n\n\nclass Parcel(models.Model):\n    sender = models.TextField()\n",
    "parcels/migrations/__init__.py": "",
    "parcels/migrations/0001_initial.py": (
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n    initial = True\n    dependencies = []\n"
        "    operations = [\n"
        '        migrations.CreateModel("Parcel", [("id", models.BigAutoField(primary_key=True)), ("sender", models.TextField())]),\n'
        f'        migrations.RunSQL("""{_GRANTS}""", "revoke usage on schema public from parcels_app"),\n'
        "    ]\n"
    ),
    "parcels/management/commands/make_account.py": _ACCOUNT,
    "requirements.txt": "django\ngunicorn\npsycopg[binary]\n",
    "requirements.md": "# What the shop must do\n\n- PARCEL-1: a parcel can be handed in\n- PARCEL-2: a parcel can be found again\n",
    "suites/smoke/test_parcels.py": _SMOKE,
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = shop.settings\naddopts = --reuse-db -p no:cacheprovider\n",
    "conftest.py": "import django_of_another_time\n",
    ".gitignore": "*.pyc\n",
}  # fmt: skip
"""By name: the repository before this project comes to it, and what its authors write for it."""

WEIGHT: Final = (
    "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
    '    dependencies = [("parcels", "0001_initial")]\n'
    '    operations = [migrations.AddField("Parcel", "grams", models.IntegerField(default=0, db_default=0))]\n'
)
"""A second migration."""

MIGRATES: Final = "suites/migration/test_der_laden.py::test_migrations_are_applied"
TAKEN_BACK: Final = "suites/rollback/test_der_laden.py::test_migrations_are_taken_back"
SMOKE: Final = "suites/smoke/test_parcels.py::test_a_parcel_can_be_handed_in"
SCHEMA: Final = "pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was"
_SAID: Final = {
    "requirements": ("sla_s: 600 ", "requirements: requirements.md\nsla_s: 600 "),
    "account": ("  health: /health/", "  account: [python, manage.py, make_account]\n  health: /health/"),
    "required": ("  service_group:", "  required: {tables: [public.parcels_parcel]}\n  service_group:"),
    "the test machine is shared": ("smoke: {budget_s: 60}", "smoke: {budget_s: 60, query_s: 30}"),
    "nobody waits": ("health: {watch_s: 60, interval_s: 2}", "health: {watch_s: 1, interval_s: 0.5}"),
    "here neither": ("health: {watch_s: 2, interval_s: 0.5}", "health: {watch_s: 1, interval_s: 0.5}"),
}
"""What its authors change in the deploy.yaml that `init` wrote."""


def assert_django_goes_all_the_way(machine: Machine) -> None:
    """By the steps that `init` writes: deployed by its own migrations, led back by them, rehearsed, handed out."""
    shop = machine.repository("der Läden", FILES)
    printed = shop.does("pytest-deploy", "init")
    assert f"written   {MIGRATES.partition('::')[0]}" in printed, printed
    assert f"written   {TAKEN_BACK.partition('::')[0]}" in printed, printed
    for old, new in _SAID.values():
        shop.replace("deploy.yaml", old, new)
    store = "reports/local"

    # 1. The first release fails in smoke: nothing is left of its migrations, nor of Django's own.
    counted = '"parcels": Parcel.objects.count()'
    shop.replace("shop/urls.py", counted, '"parcels": 0')
    shop.commit("Deployments")
    failed = shop.run("pytest", "--deploy-env=local")
    assert failed.code == 1, failed.said
    ended = shop.outcomes(store)
    assert (ended[MIGRATES], ended[SMOKE], ended[TAKEN_BACK], ended[SCHEMA]) == (
        "passed",
        "failed",
        "passed",
        "passed",
    ), failed.said

    # 2. Mended, its own command makes the schema, the service's role gets the rights that it grants, a requirement is credited.
    shop.replace("shop/urls.py", '"parcels": 0', counted)
    shop.commit("They are counted")
    shop.does("pytest", "--deploy-env=local")
    ended = shop.outcomes(store)
    assert (ended[MIGRATES], ended[SMOKE]) == ("passed", "passed")
    assert (
        ended["pytest_deploy/suites/migration/test_migration.py::test_pending_migrations_are_applied"]
        == "not-applicable"
    )
    assert ended["pytest_deploy/suites/migration/test_service.py::test_synthetic_account_is_ready"] == "passed"
    assert ended["pytest_deploy/suites/backup/test_backup.py::test_database_is_backed_up"] == "passed"
    credited = [
        e["data"]["verifies"]
        for e in shop.events(store)
        if e["data"].get("nodeid") == SMOKE and e["type"] == "step.finished"
    ]
    assert credited[-1] == ["PARCEL-1"]

    # 3. A release with another migration fails in smoke: traffic, schema and what serves are as they were.
    shop.write("parcels/migrations/0002_weight.py", WEIGHT)
    shop.replace("shop/urls.py", counted, '"parcels": 0')
    shop.commit("Parcels have a weight")
    failed = shop.run("pytest", "--deploy-env=local")
    assert failed.code == 1, failed.said
    assert "rolled-back in" in failed.stdout, failed.said
    ended = shop.outcomes(store)
    assert (ended[TAKEN_BACK], ended[SCHEMA], ended[f"{SMOKE}[rollback]"]) == ("passed", "passed", "passed")

    # 4. Mended, it goes; production is rehearsed by its own policy, and what is handed out verifies.
    shop.replace("shop/urls.py", '"parcels": 0', counted)
    shop.commit("They are counted again")
    run = last_run(shop.does("pytest", "--deploy-env=local", "-n2"))
    shop.does("pytest-deploy", "rehearse", "production")
    shop.assert_handed_out(run, store)
