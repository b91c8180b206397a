"""One service of the embedded platform: its state, its revisions' processes, and how a wish becomes what serves.

State is Google's own messages, kept as JSON (readable by the owner only: a template's variables may be secrets), so that
the next supervisor serves what this one served. A change that was under way when the supervisor died is taken up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from google.cloud import run_v2

from pytest_deploy.platform.embedded.container import RevisionContainer, is_container
from pytest_deploy.platform.embedded.places import ImageUnknown, Places, Site, log_of, note_start, unpack, write_private
from pytest_deploy.platform.embedded.revision import (
    PLACEHOLDER,
    RevisionProcess,
    StartFailed,
    new_revision,
    ready_condition,
)
from pytest_deploy.platform.embedded.router import NoBackend, Router, choose_revision, split_in_force
from pytest_deploy.platform.google.run import TO_REVISION, is_ready, revision_name, short

State = run_v2.Condition.State


class NotReady(Exception):  # says what happened, as the names of errors.py do
    """The wish cannot be served; what served before still does. Cloud Run's FAILED_PRECONDITION."""


class HostedService:
    """One Cloud Run service. All methods run in the supervisor's one event loop."""

    def __init__(self, site: Site, *, places: Places, marker: Mapping[str, str]) -> None:
        self.pb = run_v2.Service(name=site.path, create_time=datetime.now(UTC))
        self.revisions: dict[str, run_v2.Revision] = {}
        """By short name."""
        self.name = site.service
        self._folder = places.state(site)
        self._places = places
        self._marker = marker
        self._router = Router(self._backend, self._load())
        self._processes: dict[str, RevisionProcess] = {}
        self._leaving: set[RevisionProcess] = set()
        self._starting: dict[str, asyncio.Lock] = {}
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the service with its placeholder where it is new; open the ports; start what serves."""
        if not self.revisions:
            self._make()
        self.pb.uri = await self._router.listen("")
        self.pb.urls = [self.pb.uri]
        await self._listen(self.pb.traffic_statuses)
        self._save(*self.revisions)
        # A change that an earlier supervisor left half done is taken up; its outcome is in the conditions.
        starting = self.revisions[short(self.pb.latest_created_revision)].reconciling
        if self.pb.reconciling or starting:
            self.in_background(self.reconcile(frozenset(("template",)) if starting else frozenset()))
        # What serves is started before its first request; if that fails, the request says why.
        for name in {line.revision for line in self.pb.traffic_statuses if line.percent}:
            self.in_background(self._running(name))

    async def close(self, grace_s: float) -> None:
        """Stop every process; `grace_s` seconds between SIGTERM and SIGKILL."""
        for task in self._tasks:
            task.cancel()
        running = [*self._processes.values(), *self._leaving]
        await asyncio.gather(*(process.stop(grace_s) for process in running))
        await self._router.close()

    def wish(self, service: run_v2.Service, fields: frozenset[str]) -> None:
        """Take over the template, the traffic or both; a template makes a new revision. `reconcile` must follow."""
        self.pb.generation += 1
        if "traffic" in fields:
            self.pb.traffic = list(service.traffic)
        if "template" in fields:
            name = service.template.revision or revision_name(self.name, self.pb.generation)
            self.pb.template = service.template
            self.revisions[name] = new_revision(self.pb, name)
            self.pb.latest_created_revision = self.revisions[name].name
        self.pb.reconciling = True
        self.pb.terminal_condition = ready_condition(State.CONDITION_RECONCILING)
        self._save(short(self.pb.latest_created_revision))

    async def reconcile(self, fields: frozenset[str]) -> None:
        """Make serve what was wished for last. Raises NotReady.

        Traffic does not wait for a revision that still starts, unless it is to get some: a rollback need not wait until a
        deployment has failed.
        """
        generation = self.pb.generation
        # 1. A new revision starts; then the wished split is put in force.
        try:
            if "template" in fields:
                await self._start(short(self.pb.latest_created_revision))
            async with self._changing:
                await self._serve()
        except NotReady as error:
            self._settle(generation, ready_condition(State.CONDITION_FAILED, str(error)))
            raise
        # 2. What nothing leads to any more may finish its requests and go.
        self._settle(generation, ready_condition(State.CONDITION_SUCCEEDED))
        wanted = {line.revision for line in self.pb.traffic_statuses} | {target.revision for target in self.pb.traffic}
        for name in set(self._processes) - wanted:
            self.in_background(self._leave(name))

    def in_background(self, work: Awaitable[object]) -> None:
        """Let it go on until `close`. That a revision does not start is no error here: whoever needs it is told."""

        async def until_done() -> None:
            with contextlib.suppress(NotReady, StartFailed):
                await work

        task = asyncio.get_running_loop().create_task(until_done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _save(self, *revisions: str) -> None:
        """Write the service's state, with the etag that belongs to it, and the revisions that changed."""
        run_v2.Service.pb(self.pb).update_time.GetCurrentTime()
        self.pb.etag = ""
        self.pb.etag = f'"{hashlib.sha256(run_v2.Service.serialize(self.pb)).hexdigest()[:16]}"'
        for name in revisions:
            write_private(self._folder / "revisions" / f"{name}.json", run_v2.Revision.to_json(self.revisions[name]))
        write_private(self._folder / "ports.json", json.dumps(self._router.ports))
        write_private(self._folder / "service.json", run_v2.Service.to_json(self.pb))

    def _load(self) -> dict[str, int]:
        """Read what an earlier supervisor left; the ports of its tags."""
        if not (self._folder / "service.json").exists():
            return {}
        self.pb = run_v2.Service.from_json((self._folder / "service.json").read_text(encoding="utf-8"))
        for file in sorted((self._folder / "revisions").glob("*.json")):
            self.revisions[file.stem] = run_v2.Revision.from_json(file.read_text(encoding="utf-8"))
        ports: dict[str, int] = json.loads((self._folder / "ports.json").read_text(encoding="utf-8"))
        return ports

    async def _listen(self, lines: Iterable[run_v2.TrafficTargetStatus]) -> None:
        """Open the port of each tag, and write its address beside it."""
        for line in lines:
            if line.tag:
                line.uri = await self._router.listen(line.tag)

    def _make(self) -> None:
        """The service as infrastructure code makes it: a placeholder serves all of the traffic."""
        self.pb.template = run_v2.RevisionTemplate(containers=[run_v2.Container(image=PLACEHOLDER)])
        name = f"{self.name}-00001-nil"
        revision = new_revision(self.pb, name)
        revision.conditions = [ready_condition(State.CONDITION_SUCCEEDED)]
        revision.reconciling = False
        self.revisions[name] = revision
        self.pb.traffic = [run_v2.TrafficTarget(type_=TO_REVISION, revision=name, percent=100)]
        self.pb.traffic_statuses = split_in_force(self.pb.traffic, latest_ready=name)
        self.pb.latest_created_revision = self.pb.latest_ready_revision = revision.name
        self.pb.generation = self.pb.observed_generation = 1
        self.pb.terminal_condition = ready_condition(State.CONDITION_SUCCEEDED)

    async def _start(self, name: str) -> None:
        """Start a revision for the first time; its condition says how that went. Raises NotReady."""
        revision = self.revisions[name]
        try:
            await self._running(name)
        except StartFailed as error:
            message = f"Revision {name} is not ready and cannot serve traffic: {error}"
            revision.conditions = [ready_condition(State.CONDITION_FAILED, message)]
            raise NotReady(message) from error
        else:
            revision.conditions = [ready_condition(State.CONDITION_SUCCEEDED)]
            self.pb.latest_ready_revision = revision.name
        finally:
            revision.reconciling = False
            self._save(name)

    async def _serve(self) -> None:
        """Put the wished split in force, once each revision that is new in it runs."""
        lines = split_in_force(self.pb.traffic, latest_ready=short(self.pb.latest_ready_revision))
        # What serves already is left alone: a release that broke must not keep the one that mends it from coming.
        for name in {line.revision for line in lines} - {line.revision for line in self.pb.traffic_statuses}:
            if not is_ready(self.revisions[name]):
                raise NotReady(f"Revision {name} is not ready and cannot serve traffic")
            try:
                await self._running(name)
            except StartFailed as error:
                raise NotReady(f"Revision {name} did not start again: {error}") from error
        await self._listen(lines)
        self.pb.traffic_statuses = lines

    def _settle(self, generation: int, condition: run_v2.Condition) -> None:
        """Note how it went; a wish that came in the meantime keeps the service reconciling."""
        self.pb.observed_generation = max(self.pb.observed_generation, generation)
        if self.pb.generation == generation:
            self.pb.reconciling = False
            self.pb.terminal_condition = condition
        self._save()

    async def _backend(self, tag: str) -> RevisionProcess:
        """The process for a request; a revision that scaled to nothing or fell over is started, as on Cloud Run."""
        name = choose_revision(self.pb.traffic_statuses, tag)
        if name is None:
            raise NoBackend(f"tag {tag} leads to no revision")
        try:
            process = await self._running(name)
        except StartFailed as error:
            raise NoBackend(f"revision {name} is down: {error}") from error
        if process is None:
            raise NoBackend("no release serves here")
        return process

    async def _running(self, name: str) -> RevisionProcess | None:
        """The revision's process, started if need be; None for the placeholder, which has none."""
        revision = self.revisions[name]
        image = revision.containers[0].image
        if image == PLACEHOLDER:
            return None
        async with self._starting.setdefault(name, asyncio.Lock()):
            process = self._processes.get(name)
            if process is not None and process.alive:
                return process
            process, folder = await self._instance(revision, log=log_of(self._folder, name))
            self._processes[name] = process
            note_start(self._folder, name)
            try:
                await process.start(folder)
            except BaseException:
                self._processes.pop(name, None)
                raise
            return process

    async def _instance(self, revision: run_v2.Revision, *, log: Path) -> tuple[RevisionProcess, Path]:
        """A revision's instance, not started yet, and the folder to start it in. Raises StartFailed."""
        image = revision.containers[0].image
        if is_container(image):
            container = RevisionContainer(revision, log=log, marker=self._marker, label=self._places.label)
            await asyncio.to_thread(container.have_image)
            return container, self._places.deploy
        try:
            folder = await asyncio.to_thread(
                unpack, image, artefacts=self._places.artefacts, images=self._places.images
            )
        except ImageUnknown as error:
            raise StartFailed(str(error)) from error
        return RevisionProcess(revision, log=log, marker=self._marker), folder

    async def _leave(self, name: str) -> None:
        """Let a revision go that nothing leads to any more."""
        process = self._processes.pop(name)
        self._leaving.add(process)
        await process.drain()
        self._leaving.discard(process)
