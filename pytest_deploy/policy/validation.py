"""A resolved document against the models: the sections that are valid, and every fault of the others in plain words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pytest_deploy.errors import Fault
from pytest_deploy.policy.contradictions import contradictions
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.types import COMPLAINT
from pytest_deploy.policy.yaml_source import Node

_Model = TypeVar("_Model", bound=BaseModel)

OWN = ("environment", "settings", "substituted")
"""Fields of a policy that nobody writes: `load` sets them."""

SECTIONS = tuple(name for name in Policy.model_fields if name not in OWN)
"""What may stand at the top of deploy.yaml and in an environment."""


def validate(document: Node, name: str, environments: Collection[str]) -> tuple[dict[str, Any], list[Fault]]:
    """Validate one environment's resolved document.

    Returns the valid sections by name, with `environment`, and the faults; the sections make a Policy when there is
    no fault. Faults of one section hide nothing of another.
    """
    written = document.value if isinstance(document.value, Mapping) else {}
    faults = [_unknown(document, section, SECTIONS) for section in written if section not in SECTIONS]
    valid: dict[str, Any] = {"environment": name}
    for section in SECTIONS:
        field = Policy.model_fields[section]
        if section not in written:
            if field.is_required():
                faults.append(document.fault("missing", f"give {field.description}", below=section))
            else:
                valid[section] = field.get_default(call_default_factory=True)
            continue
        adapter = _adapter(section)
        try:
            valid[section] = adapter.validate_json(json.dumps(written[section].plain()), strict=True)
        except ValidationError as error:
            faults.extend(_explain(document, Policy, (section, *detail["loc"]), detail) for detail in error.errors())
    faults.extend(
        document.nearest(contradiction.at).fault(
            contradiction.problem, contradiction.remedy, below=_missing_part(document, contradiction.at)
        )
        for contradiction in contradictions(valid, environments)
    )
    return valid, faults


def validate_model(document: Node, model: type[_Model]) -> tuple[_Model | None, list[Fault]]:
    """A document that is one model from top to bottom: the model, or None and its faults."""
    if not isinstance(document.value, Mapping):
        return None, [document.fault("is empty or no mapping", f"begin with {', '.join(model.model_fields)}")]
    try:
        return model.model_validate_json(json.dumps(document.plain()), strict=True), []
    except ValidationError as error:
        return None, [_explain(document, model, detail["loc"], detail) for detail in error.errors()]


@cache
def _adapter(section: str) -> TypeAdapter[Any]:
    """What validates one section by itself, as the Policy would."""
    field = Policy.model_fields[section]
    return TypeAdapter[Any](Annotated[field.annotation, field])  # type: ignore[arg-type]  # a type only known when run


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`did you mean 'window'?` where something is close, else the list of what is known."""
    close = difflib.get_close_matches(word, known, n=1) or [name for name in known if word and name.startswith(word)]
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def _unknown(parent: Node, key: str, known: Collection[str]) -> Fault:
    return parent.nearest((key,)).fault("unknown key", did_you_mean(key, known))


def _missing_part(document: Node, path: Sequence[str | int]) -> str:
    """What of `path` is not in the document, dotted."""
    node, remaining = document, list(path)
    while remaining and (child := node.nearest(remaining[:1])) is not node:
        node, remaining = child, remaining[1:]
    return ".".join(map(str, remaining))


def _explain(document: Node, root: type[BaseModel], path: tuple[str | int, ...], detail: ErrorDetails) -> Fault:
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind == COMPLAINT:
        path = (*path, context["at"]) if context["at"] else path
        node = document.nearest(path)
        return node.fault(context["problem"], context["remedy"], below=_missing_part(document, path))
    node = document.nearest(path)
    if kind == "extra_forbidden":
        return _unknown(document.nearest(path[:-1]), str(path[-1]), _written(_declared(root, path[:-1])[0]))
    _, meaning = _declared(root, path)
    if kind == "missing":
        return node.fault("missing", f"give {meaning}", below=str(path[-1]))
    return node.fault(_problem(node, kind, context), f"give {meaning}")


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "string_too_short": "text that is not empty",
}


def _problem(node: Node, kind: str, context: dict[str, Any]) -> str:
    is_what = f"is {_shown(node)}"
    if kind in _WANTED:
        return f"{is_what}, not {_WANTED[kind]}"
    if kind == "literal_error":
        return f"{is_what}, not {context['expected']}"
    if kind == "too_short":
        return "is empty"
    for name, words in (("gt", "above"), ("ge", "at least"), ("le", "at most")):
        if name in context:
            return f"{is_what}, not {words} {context[name]:g}"
    return f"{is_what}, not what may stand here"


def _shown(node: Node) -> str:
    """A value in words. The service's variables are not shown: people put secrets where they do not belong."""
    if ".env." in f".{node.key}.":
        return "something else"
    value = node.value
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, tuple) else "keys with values"


def _declared(root: type[BaseModel], path: Sequence[str | int]) -> tuple[type[BaseModel], str]:
    """The model nearest to `path`, and what belongs there by the docstring of the field on the way."""
    model = root
    meaning = ""
    for part in path:
        if isinstance(part, int):  # an item is declared where its list is
            continue
        field = _written(model).get(part)
        if field is None:
            break
        meaning = field.description or meaning
        model = next(_models(field.annotation), model)
    return model, meaning


def _written(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The model's fields by the key that people write."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
