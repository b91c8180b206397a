"""A runner of GitHub Actions on this machine: act runs the workflows of a checkout as they are, on the host, without containers.

What a runner fetches from elsewhere is stood in for, by actions that take the same inputs: `actions/checkout` gives the job the
checkout under test, in its one place, as a self-hosted runner keeps its workspace; `google-github-actions/auth` lays the login that it
would lay into the workspace; `actions/upload-artifact` copies. Approval by reviewers of an environment is GitHub's, and act has none.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.child_process import Ran, Running
from tests.project_checkout import REPOSITORY, Checkout
from tests.required_programs import needs, path_of

WORKFLOWS: Final = REPOSITORY / ".github" / "workflows"
SECRETS: Final = (
    *("PULUMI_ACCESS_TOKEN", "DOPPLER_TOKEN_DEV", "DOPPLER_TOKEN_STAGING", "DOPPLER_TOKEN_PROD"),
    *("GCP_PROJECT_ID", "GCP_WORKLOAD_IDENTITY_PROVIDER", "GCP_SERVICE_ACCOUNT"),
)
"""The seven of the specification's activation instructions."""
LOGIN: Final = "gha-creds-0123456789abcdef.json"

_CHECKOUT = """
test "$FETCH_DEPTH" = 0 || { echo "fetch-depth is $FETCH_DEPTH: tags and history would be missing" >&2; exit 1; }
test "$PERSIST_CREDENTIALS" = false || { echo "the token would stay in .git/config" >&2; exit 1; }
cd /
rm -rf "$GITHUB_WORKSPACE"
ln -s @CHECKOUT@ "$GITHUB_WORKSPACE"
"""
_SETUP_PYTHON = 'test -n "$PYTHON_VERSION"'
_AUTH = """
test -n "$WORKLOAD_IDENTITY_PROVIDER" -a -n "$SERVICE_ACCOUNT" || { echo "direct federation, or none" >&2; exit 1; }
printf '{"type":"external_account","token":"of-this-job"}' > "$GITHUB_WORKSPACE/@LOGIN@"
echo "GOOGLE_GHA_CREDS_PATH=$GITHUB_WORKSPACE/@LOGIN@" >> "$GITHUB_ENV"
"""
_UPLOAD = """
test "$IF_NO_FILES_FOUND" = error
test -e @ARTEFACTS@/"$NAME" && { echo "an artefact $NAME is there already" >&2; exit 1; }
test -n "$(ls -A "$PATH_GIVEN")" || { echo "no files were found: $PATH_GIVEN" >&2; exit 1; }
mkdir -p @ARTEFACTS@ && cp -r "$PATH_GIVEN" @ARTEFACTS@/"$NAME"
"""
_STAND_INS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "actions/checkout": (_CHECKOUT, ("fetch-depth", "persist-credentials")),
    "actions/setup-python": (_SETUP_PYTHON, ("python-version",)),
    "google-github-actions/auth": (_AUTH, ("project_id", "workload_identity_provider", "service_account")),
    "actions/upload-artifact": (_UPLOAD, ("name", "path", "include-hidden-files", "if-no-files-found")),
}


def actions_used() -> set[str]:
    """Every action of the workflows, as `owner/name@commit`."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(WORKFLOWS.glob("*.yml")))
    return {found for text in texts for found in re.findall(r"^\s*(?:- )?uses: (\S+)", text, re.MULTILINE)}


@dataclass(frozen=True)
class Runner:
    """What runs the workflows of one checkout."""

    checkout: Checkout
    home: Path

    @classmethod
    def of(cls, checkout: Checkout) -> Runner:
        """Make the stand-ins, and what `make .venv/deploy.installed` finds done already."""
        needs("act")
        runner = cls(checkout, Path(tempfile.mkdtemp(prefix="runner-", dir=checkout.path.parent)))
        for action, (script, inputs) in _STAND_INS.items():
            runner._lay_action(action, script, inputs)
        programs = checkout.path / ".venv" / "bin"
        programs.mkdir(parents=True)
        python = programs / "python"
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        (checkout.path / ".venv" / "deploy.installed").touch()
        return runner

    @property
    def artefacts(self) -> Path:
        """What jobs uploaded, a folder an artefact."""
        return self.home / "artefacts"

    def start(
        self,
        workflow: str,
        event: str,
        *,
        inputs: Mapping[str, str] | None = None,
        job: str = "",
        run_id: str = "",
        attempt: int = 1,
    ) -> Running:
        """Let a workflow run as the event would start it, not waited for."""
        words = [path_of("act"), event, "-W", f".github/workflows/{workflow}", "-P", "ubuntu-24.04=-self-hosted"]
        words += ["--no-skip-checkout", "--concurrent-jobs", "1", "--no-cache-server", "--actor", "octocat"]
        words += ["--action-cache-path", str(self.home / "cache"), "--log-prefix-job-id"]
        words += [
            f"--local-repository={used}={self._folder(used.partition('@')[0])}" for used in sorted(actions_used())
        ]
        words += [word for name in SECRETS for word in ("-s", f"{name}=value-of-{name.lower()}")]
        words += [word for name in ("PROVIDER", "ACCOUNT") for at in ("PLAN_STAGING", "PLAN_PRODUCTION", "RECOVER_DEVELOPMENT", "RECOVER_STAGING", "RECOVER_PRODUCTION") for word in ("--var", f"GCP_{at}_{name}={at.lower()}")]  # fmt: skip
        words += ["--var", "DEPLOYMENT_ACTIVATED=true"]
        words += [word for name, value in (inputs or {}).items() for word in ("--input", f"{name}={value}")]
        words += ["-j", job] if job else []
        environ = self.checkout.environ()
        kept = {
            name: environ[name]
            for name in environ
            if name.startswith(("GIT_", "PYTEST_DEPLOY_", "XDG_")) or name == "HOME"
        }
        # Every run has a number of its own, by which its artefacts are told apart; a second attempt keeps it.
        kept |= {"GITHUB_RUN_ID": run_id or str(len(self.checkout._children) + 1), "GITHUB_RUN_ATTEMPT": str(attempt)}
        words += [word for name, value in kept.items() for word in ("--env", f"{name}={value}")]
        folder = Path(tempfile.mkdtemp(prefix="said-", dir=self.home))
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                words, cwd=self.checkout.path, env=environ, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
            )  # fmt: skip
        running = Running(process, tuple(words), folder)
        self.checkout._children.append(running)
        return running

    def run(self, workflow: str, event: str, **options: Any) -> Ran:
        """The same, waited for."""
        return self.start(workflow, event, **options).wait(300)

    def _folder(self, action: str) -> Path:
        return self.home / "actions" / action.replace("/", "+")

    def _lay_action(self, action: str, script: str, inputs: tuple[str, ...]) -> None:
        for word, path in (("@CHECKOUT@", self.checkout.path), ("@ARTEFACTS@", self.artefacts)):
            script = script.replace(word, shlex.quote(str(path)))
        names = {one: "PATH_GIVEN" if one == "path" else one.upper().replace("-", "_") for one in inputs}
        step = {
            "shell": "bash",
            "env": {variable: f"${{{{ inputs.{one} }}}}" for one, variable in names.items()},
            "run": script.replace("@LOGIN@", LOGIN),
        }
        described = {
            "name": f"{action}, a stand-in",
            "description": "See tests/github_runner.py.",
            "inputs": {one: {"description": one, "required": False} for one in inputs},
            "runs": {"using": "composite", "steps": [step]},
        }
        folder = self._folder(action)
        folder.mkdir(parents=True)
        (folder / "action.yml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


def on_this_machine(checkout: Checkout) -> None:
    """Put the three environments of deploy.yaml onto the embedded platform, with the same people, order and rules; commit it.

    What is left out is what only a cloud has, or a clock that no test sets: bucket, key, anchors, window, blackout, incidents.
    """
    path = checkout.path / "deploy.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["service"]["checks"] = {"lint": ["true"], "types": ["true"], "tests": ["true"]}
    environments = document["environments"]
    for name in ("development", "staging", "production"):
        said = environments[name]
        for key in ("record", "anchors", "window", "blackout", "incidents", "retention"):
            said.pop(key, None)
        said["platform"] = {"kind": "embedded"}
        said["health"] = {"watch_s": 0.2, "interval_s": 0.1}
        if "traffic" in said:
            said["traffic"]["settle_s"] = 0
        if "approval" in said:
            said["approval"]["outside"] = ["story@example.org"]
    del environments["sponsor-example"]
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    checkout.commit("The three environments on this machine")
