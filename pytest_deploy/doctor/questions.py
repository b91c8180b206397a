"""Every question, in the order in which people read the answers; one more fact is one more function here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pytest_deploy.doctor import containers, database, google, machine, project
from pytest_deploy.doctor.fact import Fact, Question, Setup
from pytest_deploy.errors import DeployError

QUESTIONS: Final[tuple[Question, ...]] = (
    machine.python,
    machine.standard_steps,
    machine.judging_programs,
    project.configuration,
    project.said,
    machine.packages,
    machine.dump_programs,
    machine.plugins,
    project.steps,
    project.committed,
    project.ignored,
    project.writable,
    project.artefact_of_service,
    project.programs_of_service,
    containers.containers,
    project.migrations,
    project.rights_of_service,
    project.files_named,
    database.existing_database,
    google.at_google,
    machine.loopback,
    machine.server_user,
    machine.place_of_data,
)


def answers(setup: Setup) -> Iterator[Fact]:
    """Each fact as it is found. A question that cannot be answered is a fact that is wrong."""
    for question in QUESTIONS:
        try:
            yield from question(setup)
        except (DeployError, OSError) as error:
            yield Fact(question.__name__.replace("_", " "), "wrong", f"cannot be told: {' '.join(str(error).split())}")
