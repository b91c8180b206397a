"""One service of the embedded platform: its state, its revisions' processes, and how a wish becomes what serves.

State is Google's own messages, kept as JSON (readable by the owner only: a template's variables may be secrets), so that
the next supervisor serves what this one served. A change that was under way when the supervisor died is taken up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Coroutine, Mapping

from google.cloud import run_v2

from pytest_deploy.platform.embedded.artefacts import ImageUnknown, unpack
from pytest_deploy.platform.embedded.places import Places, Site, log_of, write_private
from pytest_deploy.platform.embedded.revision import (
    LOOPBACK,
    PLACEHOLDER,
    RevisionProcess,
    StartFailed,
    container_of,
    new_revision,
    new_revision_name,
    ready_condition,
    timestamp_now,
)
from pytest_deploy.platform.embedded.router import NoBackend, Router, choose_revision, split_in_force
from pytest_deploy.platform.google.run import TO_REVISION, is_ready, short

State = run_v2.Condition.State


class NotReady(Exception):  # says what happened, as the names of errors.py do
    """The wish cannot be served; what served before still does. Cloud Run's FAILED_PRECONDITION."""


class HostedService:
    """One Cloud Run service. All methods run in the supervisor's one event loop."""

    def __init__(self, site: Site, *, places: Places, marker: Mapping[str, str]) -> None:
        self.pb = run_v2.Service(name=site.path)
        self.revisions: dict[str, run_v2.Revision] = {}
        """By short name."""
        self.name = site.service
        self._folder = places.state(site)
        self._places = places
        self._marker = marker
        self._router = Router(self._backend)
        self._ports: dict[str, int] = {}
        """Port by tag, of all tags there ever were: a tag that comes again gets its port again."""
        self._processes: dict[str, RevisionProcess] = {}
        self._leaving: set[RevisionProcess] = set()
        self._starting: dict[str, asyncio.Lock] = {}
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Load the state, or make the service with its placeholder; open the ports; start what serves."""
        self._load()
        for tag in ("", *(line.tag for line in self.pb.traffic_statuses if line.tag)):
            await self._listen(tag)
        if not self.revisions:
            self._make()
        self.pb.uri = self.url("")
        self.pb.urls = [self.pb.uri]
        for line in self.pb.traffic_statuses:
            line.uri = self.url(line.tag) if line.tag else ""
        self.save(*self.revisions)
        if self.pb.reconciling or self._latest().reconciling:
            self._in_background(self._resume())
        for name in {line.revision for line in self.pb.traffic_statuses if line.percent}:
            self._in_background(self._warm(name))

    async def close(self, grace_s: float) -> None:
        """Stop every process; `grace_s` seconds between SIGTERM and SIGKILL."""
        for task in self._tasks:
            task.cancel()
        running = [*self._processes.values(), *self._leaving]
        await asyncio.gather(*(process.stop(grace_s) for process in running))
        await self._router.close()

    def url(self, tag: str) -> str:
        """Of the service (tag "") or of one of its tags."""
        return f"http://{LOOPBACK}:{self._router.ports[tag]}"

    def wish(self, service: run_v2.Service, fields: frozenset[str]) -> None:
        """Take over the template, the traffic or both; a template makes a new revision. `reconcile` must follow."""
        self.pb.generation += 1
        if "traffic" in fields:
            self.pb.traffic = list(service.traffic)
        if "template" in fields:
            name = service.template.revision or new_revision_name(self.name, self.pb.generation, self.revisions)
            self.pb.template = service.template
            self.revisions[name] = new_revision(self.pb, name)
            self.pb.latest_created_revision = self.revisions[name].name
        self.pb.reconciling = True
        self.pb.terminal_condition = ready_condition(State.CONDITION_RECONCILING)
        self.save(short(self.pb.latest_created_revision))

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
        for name in set(self._processes) - self._wanted():
            self._in_background(self._leave(name))

    async def delete(self, name: str) -> run_v2.Revision:
        """Remove a revision that has neither traffic nor tag and is not the latest one. Raises NotReady."""
        revision = self.revisions[name]
        if name in self._wanted() or revision.name in (self.pb.latest_created_revision, self.pb.latest_ready_revision):
            raise NotReady(f"revision {name} serves, has a tag or is the latest: it cannot be deleted")
        if name in self._processes:
            self._in_background(self._leave(name))
        del self.revisions[name]
        (self._folder / "revisions" / f"{name}.json").unlink(missing_ok=True)
        return revision

    def save(self, *revisions: str) -> None:
        """Write the service's state, with the etag that belongs to it, and the revisions that changed."""
        self.pb.update_time = timestamp_now()
        self.pb.etag = ""
        self.pb.etag = f'"{hashlib.sha256(run_v2.Service.serialize(self.pb)).hexdigest()[:16]}"'
        for name in revisions:
            write_private(self._folder / "revisions" / f"{name}.json", run_v2.Revision.to_json(self.revisions[name]))
        write_private(self._folder / "ports.json", json.dumps(self._ports))
        write_private(self._folder / "service.json", run_v2.Service.to_json(self.pb))

    def _load(self) -> None:
        """Read what an earlier supervisor left."""
        if not (self._folder / "service.json").exists():
            return
        self.pb = run_v2.Service.from_json((self._folder / "service.json").read_text(encoding="utf-8"))
        for file in sorted((self._folder / "revisions").glob("*.json")):
            self.revisions[file.stem] = run_v2.Revision.from_json(file.read_text(encoding="utf-8"))
        self._ports = json.loads((self._folder / "ports.json").read_text(encoding="utf-8"))

    async def _listen(self, tag: str) -> None:
        await self._router.listen(tag, remembered=self._ports.get(tag))
        self._ports[tag] = self._router.ports[tag]

    def _latest(self) -> run_v2.Revision:
        return self.revisions[short(self.pb.latest_created_revision)]

    def _make(self) -> None:
        """The service as infrastructure code makes it: a placeholder serves all of the traffic."""
        self.pb.create_time = timestamp_now()
        self.pb.template = run_v2.RevisionTemplate(containers=[run_v2.Container(image=PLACEHOLDER)])
        name = f"{self.name}-00001-nil"
        revision = new_revision(self.pb, name)
        revision.conditions = [ready_condition(State.CONDITION_SUCCEEDED)]
        revision.reconciling = False
        self.revisions[name] = revision
        self.pb.traffic = [run_v2.TrafficTarget(type_=TO_REVISION, revision=name, percent=100)]
        self.pb.traffic_statuses = split_in_force(self.pb.traffic, latest_ready=name, url=self.url)
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
            self.save(name)

    async def _serve(self) -> None:
        """Put the wished split in force, once each revision that is new in it runs."""
        lines = split_in_force(self.pb.traffic, latest_ready=short(self.pb.latest_ready_revision), url=lambda _: "")
        # What serves already is left alone: a release that broke must not keep the one that mends it from coming.
        for name in {line.revision for line in lines} - {line.revision for line in self.pb.traffic_statuses}:
            if not is_ready(self.revisions[name]):
                raise NotReady(f"Revision {name} is not ready and cannot serve traffic")
            try:
                await self._running(name)
            except StartFailed as error:
                raise NotReady(f"Revision {name} did not start again: {error}") from error
        for line in lines:
            if line.tag:
                await self._listen(line.tag)
                line.uri = self.url(line.tag)
        self.pb.traffic_statuses = lines

    def _settle(self, generation: int, condition: run_v2.Condition) -> None:
        """Note how it went; a wish that came in the meantime keeps the service reconciling."""
        self.pb.observed_generation = max(self.pb.observed_generation, generation)
        if self.pb.generation == generation:
            self.pb.reconciling = False
            self.pb.terminal_condition = condition
        self.save()

    def _wanted(self) -> set[str]:
        return {line.revision for line in self.pb.traffic_statuses} | {target.revision for target in self.pb.traffic}

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
            container = container_of(revision)
            try:
                folder = await asyncio.to_thread(
                    unpack, image, artefacts=self._places.artefacts, images=self._places.images
                )
            except ImageUnknown as error:
                raise StartFailed(str(error)) from error
            identity = {"K_SERVICE": self.name, "K_REVISION": name, "K_CONFIGURATION": self.name, **self._marker}
            process = RevisionProcess(container, folder=folder, log=log_of(self._folder, name), identity=identity)
            self._processes[name] = process
            try:
                await process.start()
            except BaseException:
                self._processes.pop(name, None)
                raise
            return process

    async def _leave(self, name: str) -> None:
        """Let a revision go that nothing leads to any more."""
        process = self._processes.pop(name)
        self._leaving.add(process)
        await process.drain()
        self._leaving.discard(process)

    async def _resume(self) -> None:
        """Take up a change that an earlier supervisor left half done; its outcome is in the conditions."""
        with contextlib.suppress(NotReady):
            await self.reconcile(frozenset(("template",)) if self._latest().reconciling else frozenset())

    async def _warm(self, name: str) -> None:
        """Start a serving revision before the first request; if it fails, the request says why."""
        with contextlib.suppress(StartFailed):
            await self._running(name)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
