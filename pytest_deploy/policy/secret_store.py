"""Policy's section on where an environment's secrets are kept."""

from __future__ import annotations

from pytest_deploy.policy.types import Section, Text


class Doppler(Section):
    """A config of a project at Doppler."""

    project: Text
    """the project's name there, e.g. parcels"""
    config: Text
    """the config's name there, e.g. prd"""


class SecretsFrom(Section):
    """The store that holds the environment's secrets."""

    doppler: Doppler
    """project and config; whoever runs a deployment has a service token of it in DOPPLER_TOKEN"""
