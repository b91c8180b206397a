"""The embedded platform: one supervisor a checkout, which owns PostgreSQL, the Cloud Run stand-in and its router."""

from pytest_deploy.platform.embedded.client import LocalPlatform, connect, reset

__all__ = ["LocalPlatform", "connect", "reset"]
