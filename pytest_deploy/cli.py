"""`deploy.py`: each word is one pytest run or one function. Exit codes: 0 done, 1 refused or found wrong, 4 usage."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.errors import DeployError, NotAsked

app = typer.Typer(
    help="Deployments as pytest runs: what CI, QA and auditors type beside `pytest --deploy-env=ENV`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Env = Annotated[str, typer.Argument(metavar="ENV", help="an environment of deploy.yaml")]

Rehearse = Annotated[bool, typer.Option("--rehearse", help="the environment's rehearsals, not the environment itself")]


@app.command()
def run(
    env: Env,
    pipeline: Annotated[str, typer.Option(metavar="PIPELINE", help="which pipeline to run")] = "deploy",
    rest: Annotated[list[str] | None, typer.Argument(metavar="[-- PYTEST OPTIONS]")] = None,
) -> None:
    """Print the pytest line of a deployment, and become it."""
    words = [sys.executable, "-m", "pytest", f"--deploy-env={env}", f"--deploy-pipeline={pipeline}", *(rest or [])]
    typer.echo(" ".join(["pytest", *words[3:]]))
    os.execv(sys.executable, words)  # noqa: S606 -- no shell is what we want


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="a store, e.g. reports/local")],
    anchor: Annotated[str | None, typer.Option(help="a line `tlog ORIGIN SIZE ROOT` kept outside the store")] = None,
    signatures: Annotated[str, typer.Option(help="newest, or all: every event's own signature")] = "newest",
) -> None:
    """Verify a record from its files alone; name the first bad event."""
    from pytest_deploy.audit.verify import verify as verify_store

    if signatures not in {"newest", "all"}:
        raise NotAsked(f"--signatures={signatures}: right is newest or all")
    if not path.is_dir():
        raise NotAsked(f"{path} is no folder; right is a store, e.g. reports/local")
    found = verify_store(path, anchor=anchor, signatures="all" if signatures == "all" else "newest")
    for check in found.checks:
        typer.echo(f"{'ok  ' if check.ok else 'BAD '} {check.number:>2} {check.title}: {check.detail}")
    for finding in found.findings:
        typer.echo(f"     {finding}")
    typer.echo(f"{'VERIFIED' if found.ok else 'NOT VERIFIED'}: {found.size} events, root {found.root}")
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def steps(
    write: Annotated[bool, typer.Option("--write", help="write suites/steps.lock from what is collected")] = False,  # noqa: FBT002 -- typer makes flags of booleans
    check: Annotated[bool, typer.Option("--check", help="compare suites/steps.lock with what is collected")] = False,  # noqa: FBT002 -- typer makes flags of booleans
) -> None:
    """Write suites/steps.lock from the suites, or check it."""
    if write == check:
        raise NotAsked("deploy.py steps: say --write or --check")
    from pytest_deploy.phase import lock, survey

    root = Path.cwd()
    found = survey.collect(root)
    path = root / "suites" / "steps.lock"
    if write:
        typer.echo(f"{path.relative_to(root)}: {len(lock.write(path, found))} steps")
        return
    lock.compare(lock.read(path), found)
    typer.echo(f"{path.relative_to(root)}: {len(found)} steps, as collected")


@app.command()
def local() -> None:
    """Run the embedded platform in the foreground until Ctrl-C, to click through what serves on it."""
    from pytest_deploy.environment import Environment
    from pytest_deploy.phase.context import RunContext

    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    # Blocked before any thread starts, so that sigwait below gets them and nothing else does.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    context = RunContext(root=str(Path.cwd()), environment="local", pipeline="deploy")
    environment = Environment(context, context.policy())
    try:
        state = environment.platform.runtime.state()
        typer.echo(f"service   {state.url}")
        for share in state.shares:
            typer.echo(f"          {share.percent:>3} % {share.revision} {share.url}")
        typer.echo(f"database  psql '{environment.platform.database.owner}'")
        typer.echo("Ctrl-C stops it.")
        signal.sigwait(ending)
    finally:
        environment.close()


@app.command()
def migrate(
    word: Annotated[str, typer.Argument(metavar="status|check|dry-run|up|down")],
    env: Env,
    to: Annotated[str | None, typer.Option(metavar="VERSION", help="up or down to this version; 0 is none")] = None,
) -> None:
    """What is applied or faulty, what would happen; up and down only where policy asks for no approval."""
    from pytest_deploy.migrate_commands import opened

    if word not in {"status", "check", "dry-run", "up", "down"}:
        raise NotAsked(f"deploy.py migrate {word}: right is status, check, dry-run, up or down")
    if (word == "down") > (to is not None) or (to is not None and word not in {"up", "down"}):
        raise NotAsked("deploy.py migrate: --to VERSION belongs to up (if wanted) and down (always)")
    with opened(Path.cwd(), env) as migrations:
        said: Mapping[str, Callable[[], Iterator[str]]] = {
            "status": migrations.status,
            "check": migrations.check,
            "dry-run": migrations.dry_run,
            "up": partial(migrations.up, to),
            "down": partial(migrations.down, to or "0"),
        }
        for line in said[word]():
            typer.echo(line)


@app.command()
def recover(
    env: Env,
    rehearse: Rehearse = False,  # noqa: FBT002 -- typer makes flags of booleans
    clock: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--clock", help="first let the record's time start again, where a wrong clock wrote into the future"
        ),
    ] = False,
) -> None:
    """Finish what a run left behind: explain, undo or complete, close. 0: consistent, no run open; 20: a person is needed."""
    from pytest_deploy.recover import mend_clock
    from pytest_deploy.recover import recover as finish

    if clock:
        mend_clock(Path.cwd(), env, typer.echo, rehearsal=rehearse)
    raise typer.Exit(finish(Path.cwd(), env, typer.echo, rehearsal=rehearse))


Key = Annotated[
    Path | None, typer.Option("--key", help="the key that signs: a private key, or the public one of an agent or token")
]
Role = Annotated[str, typer.Option("--role", help="the role signed for; else the first of yours that is asked for")]


@app.command()
def approve(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the request, as its plan named it")],
    role: Role = "",
    key: Key = None,
    comment: Annotated[str, typer.Option(help="stands in what is signed")] = "",
) -> None:
    """Show in words what a request changes, and sign it with your SSH key (ssh-keygen, agent and hardware keys included)."""
    from pytest_deploy.permit.signing import approve as sign

    sign(Path.cwd(), run, role=role, key=key, comment=comment, say=typer.echo)


@app.command()
def override(
    gate: Annotated[str, typer.Argument(metavar="GATE", help="window, blackout, rate-limit or incidents")],
    run: Annotated[str, typer.Argument(metavar="RUN", help="the request")],
    *,
    reason: Annotated[str, typer.Option(help="why it cannot wait")],
    incident: Annotated[str, typer.Option(help="the incident it is for")],
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="how long it lasts")] = 1.0,
    role: Role = "",
    key: Key = None,
) -> None:
    """Sign, in an emergency, that one gate be overridden for one request; it counts when a second person has signed too."""
    from pytest_deploy.permit.signing import override as sign

    sign(Path.cwd(), gate, run, reason=reason, incident=incident, hours=hours, role=role, key=key, say=typer.echo)


@app.command()
def keys(
    word: Annotated[str, typer.Argument(metavar="init|enroll|revoke|list")],
    env: Env,
    *,
    person: Annotated[str, typer.Option(metavar="EMAIL", help="who signs with the key; revoke: or a fingerprint")] = "",
    name: Annotated[str, typer.Option(help="enroll: the printed name")] = "",
    role: Annotated[list[str] | None, typer.Option(help="enroll: a role; may be given several times")] = None,
    public_key: Annotated[Path | None, typer.Option(help="enroll: the person's SSH public key")] = None,
    github: Annotated[int | None, typer.Option(help="enroll: the GitHub user id")] = None,
    local: Annotated[
        str | None, typer.Option(help="enroll: the user name on this machine (local and rehearsals)")
    ] = None,
    git: Annotated[
        list[str] | None, typer.Option(help="enroll: an e-mail of their commits; may be given several times")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="enroll: how long the key is valid")] = 365,
    reason: Annotated[str, typer.Option(help="why; goes into the record")] = "",
    rehearse: Rehearse = False,
) -> None:
    """Who may sign for an environment: begin its record, enrol a person's key, revoke one, list them."""
    from pytest_deploy.permit.keys import Keys
    from pytest_deploy.permit.keys import enrolled as person_of

    if word not in {"init", "enroll", "revoke", "list"}:
        raise NotAsked(f"deploy.py keys {word}: right is init, enroll, revoke or list")
    store = Keys(Path.cwd(), env, rehearsal=rehearse)
    if word == "enroll":
        who = person_of(person, name, role or [], github=github, local=local, git=git or [])
        lines = store.enroll(who, public_key, days=days, reason=reason)
    elif word == "revoke":
        lines = store.revoke(person, reason=reason)
    else:
        lines = store.init() if word == "init" else store.list()
    for line in lines:
        typer.echo(line)


@app.command()
def rehearse(env: Annotated[str, typer.Argument(metavar="ENV")] = "production") -> None:
    """Walk through a rehearsed release: the environment that vouches first, then ENV at its next open instant."""
    from pytest_deploy.permit.walk import Walk

    Walk(Path.cwd(), typer.echo).through(env)


@app.command()
def reset(env: Annotated[str, typer.Argument(metavar="local", help="only local can be reset")]) -> None:
    """Archive the local store and start anew: record, database and revisions."""
    from pytest_deploy.reset import reset_local

    if env != "local":
        raise NotAsked(f"reset {env}: only `local` can be reset; every other environment's record is kept for good")
    for line in reset_local(Path.cwd()):
        typer.echo(line)


def main() -> None:
    """Run one command; an error of ours is one message and its exit code, never a traceback."""
    try:
        app()
    except SystemExit as ended:
        # The command line's own usage errors end with 2; here that means a signal (design 1).
        raise SystemExit(NotAsked.exit_code if ended.code == 2 else ended.code) from None  # noqa: PLR2004 -- click's number
    except DeployError as error:
        typer.echo(f"{error}", err=True)
        raise SystemExit(error.exit_code) from None
