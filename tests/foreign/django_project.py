"""A Django project as its authors have it: its own migrations, run by its own command, and gunicorn."""

from __future__ import annotations

from typing import Final

from tests.foreign.strangers_machine import PRODUCTION, Machine, last_run

PACKAGES: Final = ("django==5.2.19", "gunicorn==27.0.1")

_SETTINGS = """\
import os

from psycopg.conninfo import conninfo_to_dict

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["parcels"]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
_database = conninfo_to_dict(os.environ.get("DATABASE_URL", "dbname=none"))
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": _database.pop("dbname", ""), "OPTIONS": _database}}
"""
_URLS = """\
from django.http import JsonResponse
from django.urls import path

from parcels.models import Parcel


def parcels(request):
    if request.method == "POST":
        Parcel.objects.create(sender=request.GET["sender"])
    return JsonResponse({"parcels": Parcel.objects.count()})


urlpatterns = [path("up", lambda request: JsonResponse({})), path("parcels", parcels)]
"""
_GRANTS = """\
do $$ begin
  if not exists (select from pg_roles where rolname = 'parcels_app') then create role parcels_app nologin; end if;
end $$;
grant usage on schema public to parcels_app;
grant select, insert on parcels_parcel to parcels_app;
"""
_MIGRATE = '''\
"""Django's own migrations, run by its own command."""

import os
import subprocess
import sys

import pytest


def manage(database, *words):
    given = {"DATABASE_URL": database.access.owner, "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        [sys.executable, "manage.py", *words], env=given, capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def applied(database):
    listed = manage(database, "showmigrations", "parcels", "--plan").splitlines()
    return [line.split()[-1].removeprefix("parcels.") for line in listed if line.startswith("[X]")]


@pytest.mark.step(changes=True)
def test_django_migrates(database, record):
    before = applied(database)
    record.expect({"before": before}, {"before": before})

    manage(database, "migrate", "--noinput")

    record.expect({"before": before}, {"before": before, "applied": applied(database)})
'''
_MIGRATE_BACK = '''\
"""Django's migrations are taken back to what was applied before, as the step that applied them recorded it."""

import os
import subprocess
import sys

import pytest


@pytest.mark.step(changes=True)
def test_django_is_led_back(database, record):
    ended = [event.content.as_data() for event in record.events() if event.type == "step.finished"]
    told = [step["actual"] for step in ended if step["nodeid"].endswith("::test_django_migrates")]
    if not told:
        record.not_applicable("Django's migrations were not run")
    target = (told[-1]["before"] or ["zero"])[-1]
    given = {"DATABASE_URL": database.access.owner, "PATH": os.environ["PATH"]}
    words = [sys.executable, "manage.py", "migrate", "--noinput", "parcels", target]

    ran = subprocess.run(words, env=given, capture_output=True, text=True, check=False, timeout=100)

    record.expect({"exit": 0, "target": target}, {"exit": ran.returncode, "target": target})
    assert ran.returncode == 0, ran.stdout + ran.stderr
'''
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
_DEPLOY = """\
organisation: {name: Parcels, domain: deploy.parcels.example}
requirements: requirements.md
service:
  name: parcels
  source: .
  command: [gunicorn, --config, gunicorn.conf.py, shop.wsgi]
  health: /up
  checks:
    tests: [python, manage.py, check]
database:
  migrations: null                    # a step of suites/migration runs Django's own
  service_group: parcels_app
  required: {tables: [public.parcels_parcel]}
sla_s: 600
health: {watch_s: 1, interval_s: 0.5}
smoke: {query_s: 30}                  # the test machine is shared
environments:
  dev:
    platform: {kind: embedded}
    phases: {leave_out: [approval, integration]}
    dirty_tree: true
"""
_DEPLOY += PRODUCTION

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
        f'        migrations.RunSQL("""{_GRANTS}""", migrations.RunSQL.noop),\n'
        "    ]\n"
    ),
    "requirements.md": "# What the shop must do\n\n- PARCEL-1: a parcel can be handed in\n- PARCEL-2: a parcel can be found again\n",
    "deploy.yaml": _DEPLOY,
    "suites/migration/test_django.py": _MIGRATE,
    "suites/rollback/test_django.py": _MIGRATE_BACK,
    "suites/smoke/test_parcels.py": _SMOKE,
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = shop.settings\naddopts = --reuse-db -p no:cacheprovider\n",
    "conftest.py": "import django_of_another_time\n",
    ".gitignore": ".deploy/\nreports/\n__pycache__/\n*.pyc\n",
}  # fmt: skip
"""By name: the repository before this project comes to it, and what its authors write for it."""

WEIGHT: Final = (
    "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
    '    dependencies = [("parcels", "0001_initial")]\n'
    '    operations = [migrations.AddField("Parcel", "grams", models.IntegerField(default=0, db_default=0))]\n'
)
"""A second migration."""

MIGRATES: Final = "suites/migration/test_django.py::test_django_migrates"
SMOKE: Final = "suites/smoke/test_parcels.py::test_a_parcel_can_be_handed_in"


def assert_django_goes_all_the_way(machine: Machine) -> None:
    """Deployed by its own migrations, led back by a step of its own, rehearsed, handed out."""
    shop = machine.repository("der Läden", FILES)
    shop.does("pytest-deploy", "steps", "--write")
    shop.commit("The steps that a deployment must have")

    # 1. Its own command makes the schema, the service's role gets the rights that it grants, and a requirement is credited.
    shop.does("pytest", "--deploy-env=dev")
    store = "reports/dev"
    ended = shop.outcomes(store)
    assert (ended[MIGRATES], ended[SMOKE]) == ("passed", "passed")
    assert (
        ended["pytest_deploy/suites/migration/test_migration.py::test_pending_migrations_are_applied"]
        == "not-applicable"
    )
    assert ended["pytest_deploy/suites/backup/test_backup.py::test_database_is_backed_up"] == "passed"
    (credited,) = (
        e["data"]["verifies"]
        for e in shop.events(store)
        if e["data"].get("nodeid") == SMOKE and e["type"] == "step.finished"
    )
    assert credited == ["PARCEL-1"]

    # 2. A release with another migration fails in smoke: traffic, schema and what serves are as they were.
    shop.write("parcels/migrations/0002_weight.py", WEIGHT)
    shop.replace("shop/urls.py", '"parcels": Parcel.objects.count()', '"parcels": 0')
    shop.commit("Parcels have a weight")
    failed = shop.run("pytest", "--deploy-env=dev")
    assert failed.code == 1, failed.said
    assert "rolled-back in" in failed.stdout, failed.said
    ended = shop.outcomes(store)
    assert ended["suites/rollback/test_django.py::test_django_is_led_back"] == "passed"
    assert ended["pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was"] == "passed"
    assert ended[f"{SMOKE}[rollback]"] == "passed"

    # 3. Mended, it goes; production is rehearsed by its own policy, and what is handed out verifies.
    shop.replace("shop/urls.py", '"parcels": 0', '"parcels": Parcel.objects.count()')
    shop.commit("They are counted again")
    run = last_run(shop.does("pytest", "--deploy-env=dev", "-n2"))
    shop.does("pytest-deploy", "rehearse", "production")
    shop.assert_handed_out(run, store)
