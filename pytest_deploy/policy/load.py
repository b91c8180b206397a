"""deploy.yaml -> one environment's Policy, or one error that lists every fault of the whole file.

    top level  <  the environment it extends, and that one's ...  <  the environment itself  <  --deploy-set

Whatever stands further right wins; mappings are merged key by key, lists and single values replaced. Every environment of the
file is validated at every load: whoever deploys to local hears of a fault in production.

A setting, `--deploy-set KEY=VALUE`, changes one value of the resolved policy, for local deployments and rehearsals:

    service.env.FAULT=login     health.watch_s=1     traffic.steps_percent=[10, 100]     window=null

KEY is a dotted path in the resolved document. VALUE is read as in deploy.yaml, except below service.env, where it is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_deploy.errors import ConfigurationError, Fault
from pytest_deploy.policy.google import stood_in
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.validation import did_you_mean, validate
from pytest_deploy.policy.yaml_source import Node, Scalar, overlay, read
from pytest_deploy.workspace import Workspace, typed_path

ENVIRONMENTS = "environments"
EXTENDS = "extends"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
_OPTION = "--deploy-set"
"""In place of a file, where faults of settings are told."""
_VARIABLES = "service.env."


def load(path: Path, environment: str, sets: Sequence[str] = (), *, rehearsal: bool = False) -> Policy:
    """The policy of one environment, with `--deploy-set` settings laid over it.

    `rehearsal` puts the environment's own policy on the embedded platform, and so allows settings. Raises
    ConfigurationError with every fault of the file and of the settings; nothing but the file is read.
    """
    # 1. Read the file, and resolve what each environment takes from the top level and from those it extends.
    root, faults = read_document(path, "give the path of a deploy.yaml")
    documents, new_faults = _resolve(root)
    faults += new_faults
    # 2. Validate every environment, not only the one that is asked for.
    policies = {}
    for name, document in documents.items():
        valid, new_faults = validate(document, name, documents)
        faults += new_faults
        if not new_faults:
            policies[name] = Policy(**valid)
    # 3. Lay a rehearsal's changes and the settings over the one that is asked for.
    selected = documents.get(environment)
    if selected is None and isinstance(root.value, Mapping) and documents:
        known = f"known: {', '.join(sorted(documents))}"
        remedy = " ".join(dict.fromkeys((did_you_mean(environment, documents), known)))
        faults.append(root.nearest((ENVIRONMENTS,)).fault(f"there is no environment {environment!r}", remedy))
    if selected is not None and (sets or rehearsal):
        asked = policies.pop(environment, None)
        policy, new_faults = _with_settings(selected, environment, documents, sets, rehearsal=rehearsal)
        faults += new_faults
        if policy is not None:
            policies[environment] = policy if asked is None else policy.in_place_of(asked)
    faults += _shared_databases(policies, documents) + _shared_stacks(policies, documents)
    # 4. Give the policy, or every fault once.
    if faults or environment not in policies:
        raise ConfigurationError(root.file, list(dict.fromkeys(faults)))
    policy = policies[environment]
    record = policy.record
    replaced = stood_in(policy.platform.google, bucket=record.bucket is not None, key=record.key is not None)
    return policy.model_copy(update={"substituted": {**policy.substituted, **replaced}}) if replaced else policy


def _shared_databases(policies: Mapping[str, Policy], documents: Mapping[str, Node]) -> list[Fault]:
    """Two environments of this machine that would deploy to one database: each would find the other's migrations and undo them."""
    named: dict[tuple[object, ...], str] = {}
    faults = []
    for name, policy in policies.items():
        url = None if policy.database is None or policy.platform.kind != "embedded" else policy.database.url
        if url is None:
            continue
        from psycopg.conninfo import conninfo_to_dict  # not imported where no environment names an address

        given = conninfo_to_dict(url)
        if not given.get("dbname"):
            continue  # it is called SERVICE_ENVIRONMENT then
        first = named.setdefault(tuple(given.get(part) for part in ("host", "hostaddr", "port", "dbname")), name)
        if first != name:
            remedy = "give each a database of its own, or none: it is then called SERVICE_ENVIRONMENT"
            faults.append(
                documents[name]
                .nearest(("database", "url"))
                .fault(f"{first} and {name} have one database, {given['dbname']}", remedy)
            )
    return faults


def _shared_stacks(policies: Mapping[str, Policy], documents: Mapping[str, Node]) -> list[Fault]:
    """Two environments that would change one stack: each would undo what the other made."""
    named: dict[tuple[str, str, str], str] = {}
    faults = []
    for name, policy in policies.items():
        given = policy.infrastructure
        if given is None:
            continue
        first = named.setdefault((given.program, given.backend.rstrip("/"), given.stack), name)
        if first != name:
            place = documents[name].nearest(("infrastructure", "stack"))
            faults.append(
                place.fault(f"{first} and {name} have one stack, {given.stack}", "give each environment its own stack")
            )
    return faults


def environments(path: Path) -> tuple[str, ...]:
    """The environments that a deploy.yaml describes, in its order. Raises ConfigurationError where it cannot be read."""
    root, _ = read_document(path, "give the path of a deploy.yaml")
    return tuple(_resolve(root)[0])


def embedded(path: Path) -> tuple[str, ...]:
    """The environments of a file that are on the embedded platform, as they are written. Raises ConfigurationError where it cannot be read."""
    root, _ = read_document(path, "give the path of a deploy.yaml")
    return _embedded(_resolve(root)[0])


def _embedded(documents: Mapping[str, Node]) -> tuple[str, ...]:
    return tuple(
        name for name, document in documents.items() if document.nearest(("platform", "kind")).value == "embedded"
    )


def read_document(path: Path, remedy: str) -> tuple[Node, list[Fault]]:
    """A YAML file that people write, and the faults that leave the rest of it readable.

    Raises ConfigurationError where nothing of it can be read; `remedy` is for a path that leads nowhere.
    """
    shown = typed_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        fault = Fault(shown, None, "", f"cannot be read: {error.strerror}", remedy)
        raise ConfigurationError(shown, [fault]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        fault = Fault(shown, line, "", "is not UTF-8", "save the file as UTF-8")
        raise ConfigurationError(shown, [fault]) from error
    root, faults = read(text, shown)
    if faults and root.value is None:
        raise ConfigurationError(shown, faults)
    return root, faults


def _resolve(root: Node) -> tuple[dict[str, Node], list[Fault]]:
    """Every environment's document, merged; and what is wrong with the file's frame."""
    if not isinstance(root.value, Mapping):
        return {}, [root.fault("is empty or no mapping", "begin with organisation:, service:, environments:")]
    node = root.value.get(ENVIRONMENTS)
    if node is None or not isinstance(node.value, Mapping) or not node.value:
        place = node or root
        below = "" if node else ENVIRONMENTS
        return {}, [place.fault("no environment is described", "describe at least one, e.g. local:", below=below)]
    top = Node({key: value for key, value in root.value.items() if key != ENVIRONMENTS}, root.file, root.line, "")
    faults: list[Fault] = []
    resolved: dict[str, Node] = {}
    for name, own in node.value.items():
        if not _NAME.fullmatch(name) or name == "rehearsal" or name.startswith("rehearsal-"):
            faults.append(
                own.fault(
                    f"{name!r} cannot name an environment",
                    "use 2 to 40 lower-case letters, digits and hyphens, a letter first; rehearsal is taken",
                )
            )
        if not isinstance(own.value, Mapping):
            faults.append(own.fault("is no mapping", "give the environment's own settings, or extends: NAME"))
            continue
        chain, new_faults = _chain(name, node.value)
        faults += new_faults
        document = top
        for link in chain:
            document = overlay(document, link)
        resolved[name] = document
    return resolved, faults


def _chain(name: str, environments: Mapping[str, Node]) -> tuple[list[Node], list[Fault]]:
    """The environment's own document and those it extends, the farthest first, each without its `extends`."""
    chain: list[Node] = []
    visited: list[str] = []
    while True:
        visited.append(name)
        own = environments[name]
        if not isinstance(own.value, Mapping):
            return chain, []  # reported where that environment itself is read
        chain.insert(0, Node({k: v for k, v in own.value.items() if k != EXTENDS}, own.file, own.line, own.key))
        link = own.value.get(EXTENDS)
        if link is None:
            return chain, []
        if not isinstance(link.value, str) or link.value not in environments:
            problem = f"there is no environment {link.value!r}" if isinstance(link.value, str) else "is not one name"
            return chain, [link.fault(problem, did_you_mean(str(link.value), environments))]
        if link.value in visited:
            return chain, [
                link.fault(f"goes round in a circle: {' -> '.join([*visited, link.value])}", "cut the circle")
            ]
        name = link.value


def _with_settings(
    document: Node, name: str, environments: Mapping[str, Node], sets: Sequence[str], *, rehearsal: bool
) -> tuple[Policy | None, list[Fault]]:
    """The policy of an environment once a rehearsal's changes and then the settings are laid over it; or None, and why."""
    if rehearsal:
        document = overlay(document, _rehearsed(document))
    elif document.nearest(("platform", "kind")).value != "embedded":
        others = " or ".join(_embedded(environments)) or "an environment on it"
        remedy = f"settings are for the embedded platform: deploy {others}, or add --deploy-rehearse"
        return None, [Fault(_OPTION, None, "", f"{name} is deployed for real, as deploy.yaml says", remedy)]
    settings, changes, faults = _parse_settings(sets)
    for change in changes:
        document = overlay(document, change)
    valid, new_faults = validate(document, name, environments)
    faults += new_faults
    for key in _ADDRESSES if rehearsal and valid.get("database") is not None else ():
        if getattr(valid["database"], key) is not None:
            problem = "a rehearsal has a database of its own, and never meets the environment's"
            faults.append(Fault(_OPTION, None, f"database.{key}", problem, "leave it out"))
    if rehearsal and valid.get("infrastructure") is not None:
        problem = "a rehearsal leaves the environment's infrastructure alone"
        faults.append(Fault(_OPTION, None, "infrastructure", problem, "leave it out"))
    platform = valid.get("platform")
    if platform is not None and platform.kind != "embedded":
        faults.append(
            document.nearest(("platform", "kind")).fault("leaves the embedded platform", "keep platform.kind as it is")
        )
    return (None, faults) if faults else (Policy(**valid, settings=settings), [])


_ON_DISK: Mapping[str, Scalar] = {"store": "folder", "bucket": None}
_ADDRESSES = ("url", "url_variable")
"""What names the database of an environment, below `database`."""
REHEARSED_ANCHORS = ".deploy/anchors"
"""Where rehearsals keep their copies of checkpoints."""


def _rehearsed(document: Node) -> Node:
    """What a rehearsal changes of an environment: embedded platform, keys in files (its own, its people's), no commit frozen.

    Its database is its checkout's own, wherever the environment's lies.
    Its record lies in a folder, whose retention nothing can lock, unless `record.rehearsed` says otherwise; the copies of its
    checkpoints lie in a folder too, in place of GitHub's as well, and no authority is asked for the time. Nobody is asked who
    administers it. Its infrastructure is left alone.
    """
    changed: dict[str, Any] = {
        "platform": {"kind": "embedded", "runtime": "process", "build_network": False, "google": None},
        "approval": {"user_verification": "none"},
        "freeze_after_rollback": False,
        "record": {"signer": "file", "key": None},
    }
    if document.nearest(("record", "rehearsed")).value != "gcs":
        changed["record"] |= _ON_DISK
        changed["retention"] = {"locked": False}
    addresses = {name: document.nearest(("database", name)) for name in _ADDRESSES}
    if given := [n for n, at in addresses.items() if at.key.endswith(f"database.{n}") and at.value is not None]:
        changed["database"] = dict.fromkeys(given)
    listed = document.nearest(("administrators",))
    if listed.key.endswith("administrators") and listed.value is not None:
        changed["administrators"] = None  # accounts, people and systems are others here
    stack = document.nearest(("infrastructure",))
    if stack.key.endswith("infrastructure") and stack.value is not None:
        changed["infrastructure"] = None  # a rehearsal never meets the environment's stack
    written = {name: document.nearest(("anchors", name)) for name in ("copies", "github", "timestamp")}
    anchors: dict[str, Any] = {
        name: None for name, at in written.items() if at.key.endswith(f"anchors.{name}") and at.value is not None
    }
    if anchors.keys() & {"copies", "github"}:
        anchors["copies"] = {**_ON_DISK, "folder": REHEARSED_ANCHORS}
    if anchors:
        changed["anchors"] = anchors
    return _placed(changed, document, "")


def _placed(value: Any, at: Node, key: str) -> Node:
    """Plain values as if they had been written at `key`, where `at` is."""
    if isinstance(value, Mapping):
        value = {name: _placed(child, at, f"{key}.{name}".lstrip(".")) for name, child in value.items()}
    return Node(value, at.file, at.line, key)


def _parse_settings(sets: Sequence[str]) -> tuple[Mapping[str, str], list[Node], list[Fault]]:
    """Settings as given: them by key, for each a document to lay over the policy, and the faults."""
    settings: dict[str, str] = {}
    documents: list[Node] = []
    faults: list[Fault] = []
    for text in sets:
        key, equals, value = text.partition("=")
        variable = key.startswith(_VARIABLES)
        # A variable's name is one part, whatever it holds.
        parts = ["service", "env", key.removeprefix(_VARIABLES)] if variable else key.split(".")
        if not equals or not all(parts):
            faults.append(Fault(_OPTION, None, key, "is not KEY=VALUE", "write e.g. health.watch_s=1"))
            continue
        leaf = Node(value, _OPTION, None, key)
        if not variable:
            read_leaf, unreadable = read(value, _OPTION)
            faults.extend(Fault(_OPTION, None, key, fault.problem, fault.remedy) for fault in unreadable)
            if unreadable:
                continue
            leaf = _at(read_leaf, key)
        for depth in range(len(parts), 0, -1):
            leaf = Node({parts[depth - 1]: leaf}, _OPTION, None, ".".join(parts[: depth - 1]))
        settings[key] = value
        documents.append(leaf)
    return settings, documents, faults


def _at(node: Node, key: str) -> Node:
    """The same value, placed at `key` of the command line."""
    value = node.value
    if isinstance(value, Mapping):
        value = {name: _at(child, f"{key}.{name}") for name, child in value.items()}
    elif isinstance(value, tuple):
        value = tuple(_at(child, f"{key}[{index}]") for index, child in enumerate(value))
    return Node(value, _OPTION, None, key)


def policy_of(workspace: Workspace, sets: tuple[str, ...] = ()) -> Policy:
    """The policy of an environment, from deploy.yaml. Raises ConfigurationError listing every fault."""
    return load(workspace.config_file, workspace.environment, sets, rehearsal=workspace.rehearsal)
