"""One deployment from the controller's side: opened, requested, undone where needed, sealed.

This joins the parts that lie apart in the order of imports: phase decides, release requests, rollback undoes, report
renders. It is the conductor's `Edge`.
"""

from __future__ import annotations

import hashlib
import platform as machine
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg

from pytest_deploy.errors import DeployError, ManualInterventionRequired, Refused, UsageError
from pytest_deploy.pipeline import plan, steps_lock
from pytest_deploy.pipeline.anchor_record import anchor_record
from pytest_deploy.pipeline.authorize_run import Permission
from pytest_deploy.pipeline.outcome import MANUAL_INTERVENTION
from pytest_deploy.pipeline.run import Listener, Run
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record import lease
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.lease import Holder, Lease
from pytest_deploy.record.mirrored_store import copy_of
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.release import live, source
from pytest_deploy.release.request import PIPELINE, build_request, built_image
from pytest_deploy.reports import evidence, index
from pytest_deploy.rollback.execute import Append, RollbackExecutor
from pytest_deploy.rollback.plan import baseline_of

PLAN = "plan"
SPECIFICATION = "spec/ops-deployment-automation.md"


class Deployment:
    """The controller's side of one run."""

    def __init__(
        self,
        environment: Environment,
        context: RunContext,
        *,
        plugins: Mapping[str, str],
        options: Mapping[str, object],
        listener: Listener,
        say: Callable[[str], None],
    ) -> None:
        """`say` prints one line for the person watching."""
        self.environment = environment
        self.context = context
        self.policy = environment.policy
        self._plugins = plugins
        self._options = options
        self._renewing = ExitStack()
        self._listener = listener
        self._say = say
        self._serving = ""

    @cached_property
    def _permission(self) -> Permission:
        return Permission(self.environment, self.context, self._source, self._say)

    @cached_property
    def _source(self) -> source.Source:
        return source.read(self.context.workspace.root)

    # --- what the person watching reads

    def headline(self) -> list[str]:
        """What begins: what is deployed, where, by whom."""
        name, version = self.policy.service.name, self._source.version
        lines = [f"{self.context.pipeline} {name} {version} to {self.policy.environment}, by {local_actor()}"]
        if self._source.dirty:
            lines.append("the tree has uncommitted changes: they are deployed too, and the record says so")
        lines += [f"set for this run: {key}={value}" for key, value in self.policy.settings.items()]
        return lines

    def labels(self) -> dict[str, str]:
        """What pytest's own reports say of the run as a whole."""
        rehearsed = {"rehearsal": "REHEARSAL"} if self.context.rehearsal else {}
        named = {"run": self.context.run, "environment": self.policy.environment}
        with suppress(UsageError):  # what is no checkout is refused once the collection is judged
            named["release"] = self._source.version
        return named | rehearsed

    def summary(self, run: Run, code: int) -> list[tuple[str, dict[str, bool]]]:
        """What happened, what serves now, where the evidence lies, how to check it. After `seal`."""
        judgement = run.judgement or run.decide()
        well = code == 0
        where = self.context.run_folder.relative_to(self.context.workspace.root)
        lines = [
            (
                f"{judgement.outcome} in {run.elapsed():.1f} s · exit {code}",
                {"bold": True, "green": well, "red": not well},
            )
        ]
        if judgement.cause:
            lines.append((f"cause     {judgement.cause}", {}))
        lines.append((f"serving   {self._serving}", {}))
        lines.append((f"report    {where}/report.html", {}))
        lines.append((f"anchor    {run.log.checkpoint()}", {}))
        if bucket := copy_of(self.context.workspace.store):
            lines.append((f"record    {bucket}", {}))
        lines.append(
            (
                f"verify    python deploy.py verify {self.context.workspace.store.relative_to(self.context.workspace.root)}",
                {},
            )
        )
        if judgement.outcome == "rollback-failed":
            lines.append(
                (
                    "a person is needed: the environment is not proven to be as it was; see the report's rollback section",
                    {"red": True},
                )
            )
        return lines

    def _read_serving(self) -> str:
        """What serves now, in words, read from the platform."""
        try:
            now = live.read_baseline(self.environment.platform)
            state = self.environment.platform.runtime.state()
        except DeployError as error:
            return f"not known: {error}"
        if now.release is None:
            return f"nothing yet: {now.revision} answers 503 at {state.url}"
        schema = now.migrations[-1] if now.migrations else "none"
        return f"{self.policy.service.name} {now.release.version} ({now.revision}), schema {schema}, at {state.url}"

    # --- opening

    def open(self, steps: tuple[Step, ...]) -> Run:
        """Ask the gates where a request was approved, take the lease (a plan takes none), open the run.

        Raises Refused with every refusal, LeaseHeld, ManualInterventionRequired, RecordError.
        """
        if self._source.dirty and not self.policy.dirty_tree:
            raise Refused(
                f"the tree has uncommitted changes, and {self.policy.environment} deploys commits only: commit or discard "
                "them (`git status` lists them), then run again"
            )
        clock, log = self.environment.system, self.environment.log
        held = self._take_lease() if self.context.pipeline != PLAN else None
        if held is not None:
            self._renewing.enter_context(held.renewing())
        born = psutil.Process().create_time()
        opened = Run(
            context=self.context,
            policy=self.policy,
            log=log,
            lease=held,
            clock=clock,
            steps=steps,
            started_at=clock.monotonic() - max(0.0, time.time() - born),
            listener=self._listener,
        )
        self._listener.build_finished = lambda: self._request(opened)
        self._listener.before_change = lambda: self._permission.before_change(opened)
        try:
            opened.open(self._opened_data())
        except DeployError:
            self._renewing.close()
            with suppress(DeployError):  # once the run is open its lease runs out, and recover is what follows
                if held is not None:
                    held.release()
            raise
        return opened

    def _take_lease(self) -> Lease:
        if self.context.request:
            self._permission.at_lease()
        actor = local_actor()
        return lease.take(
            self.environment.log,
            self.context.run,
            name=self.policy.environment,
            actor=actor,
            holder=Holder.this_process(actor),
            also=self._permission.claim() if self.context.pipeline == PIPELINE else None,
        )

    def _opened_data(self) -> dict[str, Any]:
        root = self.context.workspace.root
        return {
            "environment": self.policy.environment,
            "pipeline": self.context.pipeline,
            "deployer": local_actor(),
            "commit": self._source.commit,
            "branch": self._source.branch,
            "version": self._source.version,
            "image": self._permission.approved["artefact"]["image"] if self.context.request else None,
            "rehearsal": self.context.rehearsal,
            "dirty": self._source.dirty,
            "request_sha256": self._permission.request_sha256 if self.context.request else None,
            "workflow_run": None,
            "plugins": dict(self._plugins),
            "config_sha256": self.policy.digest(),
            "spec_sha256": _sha256(root / SPECIFICATION),
            "suites_sha256": source.tree_digest(root, ["suites"]),
            "lock_sha256": _sha256(self.context.workspace.steps_lock),
            "reason": self.context.reason,
            "sets": dict(self.policy.settings),
            "python": machine.python_version(),
            "options": dict(self._options),
            "ticket": self.context.ticket or None,
            "organisation": self.policy.organisation.model_dump(include={"name", "references"}),
            **self._target(),
        }

    def _target(self) -> dict[str, Any]:
        """Smoke alone checks what serves: which release that is makes it evidence for the next environment."""
        return {"target": live.serving(self.environment.platform)} if self.context.pipeline == "smoke" else {}

    def forget(self) -> None:
        """A run that was not opened leaves nothing behind."""
        evidence.remove(self.context.session)
        self.environment.close()

    # --- the request

    def _request(self, run: Run) -> None:
        """After the build: the run's own request where none was approved, else the artefact held against the approved one.

        A fault closes the run before any change.
        """
        try:
            image = built_image(run.events())
            if self.context.request:
                if image != (approved := self._permission.approved["artefact"]["image"]):
                    run.close(Cause("request", f"the build made {image}; approved is {approved}"))
            elif self.context.pipeline == PIPELINE:
                steps_sha256 = steps_lock.digest_of_pipeline(self.context.workspace.steps_lock, PIPELINE)
                made = build_request(
                    self.environment,
                    self.context,
                    self._source,
                    run=self.context.run,
                    image=image,
                    steps_sha256=steps_sha256,
                )
                RunFolder(run.log.store, self.context.run).create("request.json", made.content)
                run.append("request.made", made.event_data())
        except DeployError as error:
            run.close(Cause("request", f"the request could not be made: {error}"))

    def conclude(self, run: Run) -> None:
        """A plan makes the request, and says what it waits for; every other pipeline has nothing to add."""
        if self.context.pipeline == PLAN and not run.decided:
            plan.conclude(self.environment, self._source, run, self._say)

    # --- undoing and sealing

    def undo(self, run: Run) -> None:
        """Roll back from the log and the live state, without pytest; the outcome is in the log."""
        baseline = run.start_rollback()
        try:
            if baseline is None:
                raise ManualInterventionRequired("the log does not say what the environment was; compare it by hand")
            self._undoing(lambda type_, **content: run.append(type_, content)).undo(baseline)
        except (DeployError, psycopg.Error, OSError) as error:
            run.finish_rollback("failed", f"{type(error).__name__}: {error}")
        else:
            run.finish_rollback("done")

    def stranded(self, run: Run) -> int:
        """Lead the environment back although nothing can be recorded; 3 where nothing had been changed, else 20.

        A run that was decided is left as decided: undone now, its record would say that a release serves which does not.
        """
        self._renewing.close()
        code = 3
        decided = [e.data["outcome"] for e in run.log.known(run.context.run) if e.type == "run.decided"]
        if decided:
            code = MANUAL_INTERVENTION if run.sequence.changed else 3
            self._say(
                f"the run was decided before, {decided[-1]}: the environment is left so, its record is incomplete"
            )
            self._say(f"see to the store, then: python deploy.py recover {self.policy.environment}")
        elif run.lease is not None and run.lease.lost.is_set():
            code = MANUAL_INTERVENTION
            self._say(
                f"the lease was lost ({run.lease.cause}): whoever took it over decides what becomes of the environment"
            )
        elif run.sequence.changed:
            code = MANUAL_INTERVENTION
            try:
                baseline = baseline_of(run.log.known(run.context.run))
                if baseline is None:
                    raise ManualInterventionRequired("the record does not say what the environment was")
                self._undoing(lambda *_, **__: None).undo(baseline)
            except (DeployError, psycopg.Error, OSError) as error:
                self._say(f"the environment was not led back: {error}")
            else:
                self._say("the environment was led back to what it was; none of that is recorded")
            self._say(f"see to the store, then: python deploy.py recover {self.policy.environment}")
        self.environment.close()
        return code

    def _undoing(self, append: Append) -> RollbackExecutor:
        """What carries a rollback out for this run."""
        context = self.context
        return RollbackExecutor(
            self.environment.platform,
            self.policy,
            context.workspace.root,
            local_actor(),
            append,
            context.workspace.backups(context.run),
        )

    def seal(self, run: Run) -> int:
        """Decide, render what people read, bind it, close the run, release the lease; pytest's exit code."""
        judgement = run.judgement or run.decide()
        changed = any(e.type == "step.started" and e.data["changes"] for e in run.events())
        folder = RunFolder(run.log.store, self.context.run)
        missing = evidence.write(
            folder,
            run.events(),
            files=self.context.session,
            checkpoint=run.log.checkpoint(),
            redact=self.environment.redact_file,
            of_run=run.log.run,
        )
        run.append(
            "run.closed",
            {
                "outcome": judgement.outcome,
                "record": f"runs/{self.context.run}",
                "record_sha256": folder.seal(),
                "missing": list(missing),
            },
        )
        anchor_record(self.environment, run=self.context.run, say=self._say)
        self._renewing.close()
        if run.lease is not None:
            run.lease.release()
        evidence.remove(self.context.session)
        for fault in index.write(self.context.workspace.reports):
            self._say(fault)
        self._serving = self._read_serving()
        self.environment.close()
        if missing:
            self._say(f"evidence incomplete: {', '.join(missing)} could not be rendered")
            return MANUAL_INTERVENTION if changed else 3
        return judgement.exit_code


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
