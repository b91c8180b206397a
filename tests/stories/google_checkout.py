"""A checkout of the diary with an environment at Google, whose services are all on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.child_process import Ran
from tests.container_base import use_base_image
from tests.google_cloud import GoogleCloud, google_cloud
from tests.project_checkout import Checkout

CLOUD: Final = "cloud"
"""The environment."""
_TIMEOUT_S: Final = 400.0


@dataclass
class AtGoogle:
    """The checkout, and what there is at Google."""

    checkout: Checkout
    google: GoogleCloud

    def deploy(self, *words: str) -> Ran:
        return self.checkout.run(f"--deploy-env={CLOUD}", *words, env=self.google.variables, timeout=_TIMEOUT_S)

    def deploy_py(self, *words: str) -> Ran:
        return self.checkout.deploy_py(*words, env=self.google.variables, timeout=_TIMEOUT_S)

    def set_fault(self, fault: str) -> str:
        """Commit a release with a fault of the service's own; the commit."""
        file = self.checkout.path / "deploy.yaml"
        text = file.read_text(encoding="utf-8")
        place = f"\n  {CLOUD}:\n"
        before, _, after = text.partition(place)
        assert after
        file.write_text(
            f"{before}{place}{after.replace('service: {', f'service: {{env: {{FAULT: {fault}}}, ', 1)}",
            encoding="utf-8",
        )
        return self.checkout.commit("A release that is faulty")


@contextmanager
def checkout_at_google(folder: Path) -> Iterator[AtGoogle]:
    """A fresh checkout, nothing released from it."""
    with Checkout.open(folder) as checkout, google_cloud(folder / "google") as google:
        checkout.environment = CLOUD
        use_base_image(checkout.path / "examples/diary/Dockerfile")
        file = checkout.path / "deploy.yaml"
        file.write_text(file.read_text(encoding="utf-8") + google.policy(CLOUD), encoding="utf-8")
        checkout.commit("An environment at Google")
        yield AtGoogle(checkout, google)
