"""What is printed of a run's end about what serves is what the platform tells."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from pytest_deploy.platform.environment import Environment
from pytest_deploy.reports.seal import serving_now
from pytest_deploy.workspace import Workspace
from tests.google_cloud_run import CloudRunApi
from tests.google_front_end import IamCredentials
from tests.unit.platform.google.sample_google import at_google


def test_a_revision_of_no_deployment_is_named_and_no_answer_of_it_is_made_up(tmp_path: Path) -> None:
    """What infrastructure makes a service with at Google answers 200; nobody asked it here."""
    with CloudRunApi.serving().answering() as run, IamCredentials().answering() as credentials:
        policy = at_google(tmp_path, run=run, iam_credentials=credentials)
        with closing(Environment(Workspace(tmp_path, "production"), policy)) as environment:
            said = serving_now(environment)

    assert said == "nothing yet: parcels-00001-abc is of no deployment"
