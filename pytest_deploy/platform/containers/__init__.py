"""Container images of a release: built the same each time, kept in a registry or on this machine, named by digest."""

from pytest_deploy.platform.containers.artefacts import ContainerArtefacts, LocalImages
from pytest_deploy.platform.containers.login import Login, google_login

__all__ = ["ContainerArtefacts", "LocalImages", "Login", "google_login"]
