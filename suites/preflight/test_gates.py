"""Whether it may go now: each gate of the environment's policy, with what it was judged by. All are asked, none hides another."""

from __future__ import annotations

import pytest

from pytest_deploy.plugin.gatekeeper import Gatekeeper


def test_deployer(gates: Gatekeeper) -> None:
    gates.hold("deployer")


@pytest.mark.requirement("REQ-o00043-J")
def test_window(gates: Gatekeeper) -> None:
    gates.hold("window")


@pytest.mark.requirement("REQ-o00043-J")
def test_blackout(gates: Gatekeeper) -> None:
    gates.hold("blackout")


@pytest.mark.requirement("REQ-o00043-K")
def test_rate_limit(gates: Gatekeeper) -> None:
    gates.hold("rate-limit")


def test_lease(gates: Gatekeeper) -> None:
    gates.hold("lease")


@pytest.mark.requirement("REQ-o00043-D")
def test_staging_smoke(gates: Gatekeeper) -> None:
    gates.hold("staging-smoke")


def test_incidents(gates: Gatekeeper) -> None:
    gates.hold("incidents")


@pytest.mark.requirement("REQ-o00043-E")
def test_build(gates: Gatekeeper) -> None:
    gates.hold("build")


@pytest.mark.requirement("REQ-o00043-Q")
def test_retention(gates: Gatekeeper) -> None:
    gates.hold("retention")


def test_anchors(gates: Gatekeeper) -> None:
    gates.hold("anchors")


def test_freeze(gates: Gatekeeper) -> None:
    gates.hold("freeze")


def test_clock(gates: Gatekeeper) -> None:
    gates.hold("clock")
