"""Commands of the people who answer for a deployment: they sign, enrol and revoke."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands.app import Env, Key, Rehearse, Role, app
from pytest_deploy.errors import UsageError


@app.command()
def approve(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the request, as its plan named it")],
    role: Role = "",
    key: Key = None,
    comment: Annotated[str, typer.Option(help="stands in what is signed")] = "",
) -> None:
    """Show in words what a request changes, and sign it with your SSH key (ssh-keygen, agent and hardware keys included)."""
    from pytest_deploy.commands.sign import approve as sign

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
    from pytest_deploy.commands.sign import override as sign

    sign(Path.cwd(), gate, run, reason=reason, incident=incident, hours=hours, role=role, key=key, say=typer.echo)


@app.command(name="sign-off")
def sign_off(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a closed run")],
    *,
    role: Role = "",
    meaning: Annotated[
        str, typer.Option(help="what the signature stands for, e.g. 'reviewed and found complete'")
    ] = "",
    comment: Annotated[str, typer.Option(help="stands in what is signed")] = "",
    key: Key = None,
) -> None:
    """Sign, in a role, for the record of a closed run; not for one's own deployment."""
    from pytest_deploy.commands.sign_after_run import sign_off as sign

    sign(Path.cwd(), run, role=role, meaning=meaning, comment=comment, key=key, say=typer.echo)


@app.command()
def amend(
    env: Env,
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="the event, by its number")],
    *,
    field: Annotated[str, typer.Option(metavar="KEY", help="the key of its data whose value is wrong")],
    to: Annotated[str, typer.Option(metavar="VALUE", help="the right value: text, or JSON where it is no text")],
    reason: Annotated[str, typer.Option(help="why; stands in what is signed")],
    role: Role = "",
    key: Key = None,
    rehearse: Rehearse = False,
) -> None:
    """Sign a correction of one value of an event; the event stays, and the record shows old and new."""
    from pytest_deploy.commands.sign_after_run import amend as sign

    sign(
        Path.cwd(), env, seq,
        field=field, to=to, reason=reason, role=role, key=key, rehearsal=rehearse, say=typer.echo,
    )  # fmt: skip


@app.command(name="accept-deviation")
def accept_deviation(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a closed run")],
    *,
    step: Annotated[str, typer.Option(metavar="NODEID", help="the step that did not pass")],
    reason: Annotated[str, typer.Option(help="why it is accepted; stands in what is signed")],
    role: Role = "",
    key: Key = None,
) -> None:
    """Sign that a step which did not pass is accepted, by who may approve and did not deploy."""
    from pytest_deploy.commands.sign_after_run import accept_deviation as sign

    sign(Path.cwd(), run, step=step, reason=reason, role=role, key=key, say=typer.echo)


@app.command()
def thaw(
    env: Env,
    *,
    reason: Annotated[str, typer.Option(help="why it may be deployed to again; stands in what is signed")],
    role: Role = "",
    key: Key = None,
    rehearse: Rehearse = False,
) -> None:
    """Sign that a frozen environment may be deployed to again; the gate `freeze` then passes."""
    from pytest_deploy.commands.sign_after_run import thaw as sign

    sign(Path.cwd(), env, reason=reason, role=role, key=key, rehearsal=rehearse, say=typer.echo)


@app.command()
def keys(
    word: Annotated[str, typer.Argument(metavar="init|enroll|revoke|rotate|list")],
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
    to: Annotated[str, typer.Option(metavar="VERSION", help="rotate: a key version of Cloud KMS, in full")] = "",
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="rotate: keep the retired private key; else it is destroyed")
    ] = False,
    rehearse: Rehearse = False,
) -> None:
    """Who may sign for an environment: begin its record, enrol a key, revoke one, rotate the log's own key, list them."""
    from pytest_deploy.commands.keys import Keys
    from pytest_deploy.commands.keys import enrolled as person_of

    if word not in {"init", "enroll", "revoke", "rotate", "list"}:
        raise UsageError(f"deploy.py keys {word}: right is init, enroll, revoke, rotate or list")
    store = Keys(Path.cwd(), env, rehearsal=rehearse)
    if word == "enroll":
        who = person_of(person, name, role or [], github=github, local=local, git=git or [])
        lines = store.enroll(who, public_key, days=days, reason=reason)
    elif word == "revoke":
        lines = store.revoke(person, reason=reason)
    elif word == "rotate":
        lines = store.rotate(to=to, reason=reason, keep_old=keep_old)
    else:
        lines = store.init() if word == "init" else store.list()
    for line in lines:
        typer.echo(line)
