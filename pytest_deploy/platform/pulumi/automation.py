"""One operation of Pulumi's engine, by its Automation API, in a process of its own.

Started by path with the interpreter that the Pulumi program is to run with: it imports Pulumi's SDK and nothing of this package.
So the deployment's own process never loads the SDK, a program of an earlier release runs beside no leftovers of the present
one, and the two may want different releases of a library (Pulumi holds protobuf below 7).

Standard input gives one line, the request (JSON). Standard output gives lines of JSON: `{"engine": PID}` as one is started,
`{"event": …}` as it reports them, then one `{"result": …}` or `{"error": {kind, message}}`. What the program prints goes to standard error.

The engine stops as people are told to stop it (pulumi/pulumi#9103: the Automation API for Python cannot): it runs in a session
of its own; SIGTERM or SIGINT here, and the end of standard input, which is the death of who started this, each become a SIGINT
there. The first lets what was begun end and be written down; a second ends at once.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pulumi import automation
from pulumi.automation import errors

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SAID: Final = 12_000
"""Characters of an error that are handed on, its end."""


class GracefulCommand(automation.PulumiCommand):
    """The CLI, at a path, in a session of its own, interrupted where this process is."""

    def __init__(self, program: str, started: Callable[[int], None]) -> None:
        os.environ["PATH"] = os.pathsep.join((str(Path(program).parent), os.environ.get("PATH", os.defpath)))
        super().__init__()
        self.command = program
        self.started = started
        self.interrupted = False
        self._running: subprocess.Popen[str] | None = None

    def interrupt(self) -> None:
        """SIGINT to the engine, if one runs; none is started from here on."""
        self.interrupted = True
        if self._running is not None and self._running.poll() is None:
            self._running.send_signal(signal.SIGINT)

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> automation.CommandResult:
        """As the method it replaces."""
        if self.interrupted:
            raise _Interrupted
        process = subprocess.Popen(
            [self.command, "--non-interactive", *args],
            cwd=cwd,
            env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._running = process
        self.started(process.pid)
        if self.interrupted:  # between the question above and the line before
            process.send_signal(signal.SIGINT)
        texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        readers = [
            threading.Thread(target=_read, args=(process.stdout, texts["stdout"], on_output)),
            threading.Thread(target=_read, args=(process.stderr, texts["stderr"], on_error)),
        ]
        for reader in readers:
            reader.start()
        code = process.wait()
        for reader in readers:
            reader.join()
        result = automation.CommandResult(
            stdout="\n".join(texts["stdout"]), stderr="\n".join(texts["stderr"]), code=code
        )
        if code:
            raise errors.create_command_error(result)
        return result


class _Interrupted(Exception):
    """This process was asked to stop."""


def _read(stream: Any, lines: list[str], tell: Callable[[str], Any] | None) -> None:
    with stream:
        for line in stream:
            lines.append(line.rstrip())
            if tell is not None:
                tell(lines[-1])


class Operation:
    """The operations, one a method; `request` says which stack, and what with."""

    def __init__(
        self, request: Mapping[str, Any], command: GracefulCommand, say: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self.request = request
        self.command = command
        self.say = say
        self.folder: str = request["folder"]
        self.name: str = request["stack"]
        self.workspace = automation.LocalWorkspace(work_dir=self.folder, program=self.program, pulumi_command=command)

    def program(self) -> None:
        """Run the Pulumi program in `folder`, as Pulumi's own host does: its folder first on the path."""
        sys.path.insert(0, self.folder)
        runpy.run_path(self.folder, run_name="__main__")

    def stack(self) -> automation.Stack:
        """The stack. Raises StackNotFoundError where there is none."""
        return automation.Stack.select(self.name, self.workspace)

    def init(self) -> Any:
        """Make the stack."""
        automation.Stack.create(self.name, self.workspace)
        return {}

    def preview(self) -> Any:
        """What `up` would do."""
        self.stack().preview(on_event=self.tell, refresh=self.request["refresh"])
        return {}

    def up(self) -> Any:
        """Do it. The outputs may hold secrets and are not handed on."""
        stack = self.stack()
        stack.up(
            on_event=self.tell, message=self.request["message"], refresh=self.request["refresh"], show_secrets=False
        )
        return {}

    def refresh(self) -> Any:
        """Read what is there into the state."""
        self.stack().refresh(on_event=self.tell, message=self.request["message"], show_secrets=False)
        return {}

    def history(self) -> Any:
        """Past updates, newest first, without configuration."""
        return [
            {
                "kind": one.kind,
                "result": one.result,
                "message": one.message,
                "started": one.start_time.isoformat() if one.start_time else "",
                "changes": {
                    str(getattr(key, "value", key)): count for key, count in (one.resource_changes or {}).items()
                },
            }
            for one in self.stack().history(page_size=self.request["count"], page=1, show_secrets=False)
        ]

    def export(self) -> Any:
        """The state as it lies in the backend: secrets stay encrypted."""
        return json.loads(self.run("stack", "export"))

    def import_state(self) -> Any:
        """Put a state in place of the present one."""
        self.run("stack", "import", "--file", self.request["file"])
        return {}

    def cancel(self) -> Any:
        """Remove every lock of the stack. It stops nobody."""
        self.run("cancel", "--yes", stack_option=True)
        return {}

    def run(self, *args: str, stack_option: bool = True) -> str:
        """A command that the Automation API has no method for."""
        words = [*args, "--stack", self.name] if stack_option else list(args)
        return str(self.command.run(words, self.folder, {}).stdout)

    def tell(self, event: automation.EngineEvent) -> None:
        """Hand on what is told of a resource, and what the engine says."""
        for kind, inner in (("pre", event.resource_pre_event), ("failed", event.res_op_failed_event)):
            if inner is not None:
                self.say({"event": {"is": kind, **_step(inner.metadata)}})
        if event.res_outputs_event is not None:
            self.say({"event": {"is": "done", **_step(event.res_outputs_event.metadata)}})
        said = event.diagnostic_event
        if said is not None and said.severity in {"error", "warning"}:
            self.say({"event": {"is": said.severity, "urn": said.urn or "", "message": said.message}})


def _step(metadata: Any) -> dict[str, Any]:
    """One step of the engine: what is done to which resource, at which paths; no value but the inputs, secrets masked."""
    detailed = {
        path: str(getattr(difference.diff_kind, "value", difference.diff_kind))
        for path, difference in (metadata.detailed_diff or {}).items()
    }
    return {
        "urn": metadata.urn,
        "type": metadata.type,
        "operation": str(getattr(metadata.op, "value", metadata.op)),
        "paths": sorted(detailed or metadata.diffs or []),
        "replace_keys": sorted(metadata.keys or []),
        "inputs": None if metadata.new is None else metadata.new.inputs,
        "id": "" if metadata.new is None else metadata.new.id,
    }


def _kind(error: Exception) -> str:
    for name, kinds in {
        "locked": (errors.ConcurrentUpdateError,),
        "no-stack": (errors.StackNotFoundError,),
        "stack-exists": (errors.StackAlreadyExistsError,),
        "program": (errors.InlineSourceRuntimeError,),
        "interrupted": (_Interrupted,),
    }.items():
        if isinstance(error, kinds):
            return name
    return "failed"


def main() -> None:
    """Read the request, carry it out, say what came of it."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the program may print: that is not the answer
    speaking = threading.Lock()

    def say(line: Mapping[str, Any]) -> None:
        with speaking:
            try:
                print(json.dumps(line), file=out, flush=True)
            except BrokenPipeError:
                return  # who asked is gone; the end of standard input stops the engine

    request = json.loads(sys.stdin.readline())
    command = GracefulCommand(request["pulumi"], lambda pid: say({"engine": pid}))
    for signum in _SIGNALS:
        signal.signal(signum, lambda *_: command.interrupt())

    def follow_parent() -> None:
        while os.read(0, 4096):
            pass
        command.interrupt()

    threading.Thread(target=follow_parent, daemon=True).start()
    try:
        operation = Operation(request, command, say)
        result = getattr(operation, request["operation"])()
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is told
        kind = "interrupted" if command.interrupted else _kind(error)
        say({"error": {"kind": kind, "message": str(error)[-_SAID:]}})
    else:
        say({"result": result})
    out.flush()
    # Threads of gRPC and of a program that waits must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
