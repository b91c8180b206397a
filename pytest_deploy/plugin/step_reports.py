"""Each report of a step as everybody else reads it: it can be written, holds no secret, and tells of each failure.

What a step raises may be anything: an error that cannot be put into words is a failure all the same. A subtest that
fails is its step's failure, whatever the step's own call comes to.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprEntry  # pytest offers no public way to a traceback's arguments

from pytest_deploy.bounded_output import kept_text
from pytest_deploy.errors import Failed, Refused, UsageError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin.configuration import SUITES
from pytest_deploy.plugin.service_output import remember_service, service_output
from pytest_deploy.record.plain_text import stated, words_of
from pytest_deploy.record.redaction import NOT_WRITTEN, redacted

_log = logging.getLogger(__name__)
_IN_CALL = pytest.StashKey[bool]()
_FAILED_SUBTESTS = pytest.StashKey[list[str]]()
_SKIPPED_SUBTESTS = pytest.StashKey[list[str]]()
_SHOWN_SUBTESTS = 5
REPORT_BYTES = 250_000
"""Of one text of a report at most: of what a step printed, of one part of its traceback."""


class StepReports:
    """Stands nearest to pytest's own report: every report writer reads what is left when this is through."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Cut the error before it is put into words, and the words after: traceback, captured output."""
        try:
            if call.excinfo is not None:
                self._environment.redact_error(call.excinfo.value)
                _end_at_the_step(call.excinfo.value)
            report = yield
        except BaseException as error:  # noqa: BLE001 -- a `__repr__` of somebody else's may raise anything, SystemExit too
            report = _without_traceback(item, call, error)
        if self._environment.holds_subjects:
            _forget_arguments(report.longrepr)
        self._cut(report)
        if call.when == "call":
            _charge_subtests(item, report)
        if report.failed and not item.stash.get(_IN_CALL, False):
            printed = service_output(self._environment, item)
            report.sections += [] if printed is None else [printed]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, request: pytest.FixtureRequest) -> Generator[None, object, object]:
        """Notice whom a step asks: what the service printed last stands beside a step that failed on it."""
        value = yield
        remember_service(request.node, value)
        return value

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Nearest to the step: what it raises can be handed on by everybody around it."""
        __tracebackhide__ = True
        return (yield from _as_errors_go())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The same; and a report that is made while the call lasts is a subtest's."""
        __tracebackhide__ = True
        item.stash[_IN_CALL] = True
        try:
            return (yield from _as_errors_go())
        finally:
            item.stash[_IN_CALL] = False

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """The same of the tear-down."""
        __tracebackhide__ = True
        return (yield from _as_errors_go())

    def _cut(self, report: pytest.TestReport) -> None:
        """Cut a report's texts, one by one so that a traceback stays one; as a whole where a secret goes over several."""
        redact = self._environment.redact

        def cut(text: str) -> str:
            return redact(kept_text(text, REPORT_BYTES))

        report.longrepr = _cut_texts(report.longrepr, cut)
        text = words_of(report.longrepr) if report.longrepr is not None else ""
        if (hidden := redact(text)) != text:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = report.longrepr = hidden if crash is None else f"{redact(crash.message)}\n\n{hidden}"
        report.sections = [(redact(title), cut(content)) for title, content in report.sections]
        report.user_properties = [
            (redact(words_of(name)), redacted(stated(value), redact)) for name, value in report.user_properties
        ]
        left = [text for text in (text, *(text for _, text in report.sections)) if NOT_WRITTEN in text]
        if left and not report.failed:
            report.outcome = "failed"
            report.longrepr = f"what it printed, logged or raised cannot be written: {left[0]}"
        if hasattr(report, "wasxfail"):
            report.wasxfail = redact(words_of(report.wasxfail))


def _as_errors_go() -> Generator[None, object, object]:
    """Contextlib sets the traceback of what goes through it: of an error that takes none (frozen), type and words go on."""
    __tracebackhide__ = True
    try:
        return (yield)
    except Exception as error:
        try:
            error.__traceback__ = error.__traceback__
        except Exception:  # noqa: BLE001 -- whatever a frozen class raises
            kind = type(type(error).__name__, (Exception,), {"__module__": type(error).__module__})
            raise kind(words_of(error)).with_traceback(error.__traceback__) from None
        raise


_SAYS_IT_ALL = (UsageError, Refused, Failed)
_SUITES = f"{os.sep}{SUITES}{os.sep}"


def _end_at_the_step(error: BaseException) -> None:
    """A refusal's words are written for who must act: its traceback ends in the step, without our own modules' lines.

    The whole traceback is in the log, for `--log-level=DEBUG`.
    """
    if not isinstance(error, _SAYS_IT_ALL):
        return
    last: TracebackType | None = None
    at = error.__traceback__
    while at is not None:
        if _SUITES in at.tb_frame.f_code.co_filename:
            last = at
        at = at.tb_next
    if last is None or last.tb_next is None:
        return
    _log.debug("the whole of it", exc_info=error)
    last.tb_next = None
    error.__cause__, error.__suppress_context__ = None, True


def _cut_texts(value: Any, redact: Callable[[str], str]) -> Any:
    """A representation of pytest's with every text in it cut, in place where it is an object."""
    match value:
        case str():
            return redact(value)
        case list() | tuple():
            return type(value)([_cut_texts(inner, redact) for inner in value])
        case _ if dataclasses.is_dataclass(value):
            for name, inner in list(vars(value).items()):
                setattr(value, name, _cut_texts(inner, redact))
    return value


def _without_traceback(item: pytest.Item, call: pytest.CallInfo[None], fault: BaseException) -> pytest.TestReport:
    """The report of what cannot be put into words: its type, and the words that it does give."""
    raised = fault if call.excinfo is None else call.excinfo.value
    return pytest.TestReport(
        item.nodeid,
        item.location,
        dict.fromkeys(map(str, item.keywords), 1),
        "failed",
        f"{type(raised).__name__}: {words_of(raised)}\n(its traceback raises {type(fault).__name__}: {words_of(fault)})",
        call.when,  # type: ignore[arg-type] # "collect" is no call of an item
        [(f"Captured {key} {when}", content) for when, key, content in item._report_sections],  # noqa: SLF001 -- as TestReport does
        call.duration,
        start=call.start,
        stop=call.stop,
        user_properties=list(item.user_properties),
    )


def _charge_subtests(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep the failures of subtests, and which were skipped; the report of the call that they were part of ends by them."""
    failed = item.stash.setdefault(_FAILED_SUBTESTS, [])
    skipped = item.stash.setdefault(_SKIPPED_SUBTESTS, [])
    if item.stash.get(_IN_CALL, False):
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            skipped.append(" ".join(words_of(reason).split())[:300])
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            failed.append(" ".join(words_of(report.longrepr if crash is None else crash.message).split())[:300])
        return
    if failed and not report.failed:
        more = [f"and {len(failed) - _SHOWN_SUBTESTS} more"] if len(failed) > _SHOWN_SUBTESTS else []
        report.outcome = "failed"
        report.longrepr = "; ".join(
            [f"{len(failed)} of its subtests failed: {failed[0]}", *failed[1:_SHOWN_SUBTESTS], *more]
        )
    elif skipped and report.passed:
        file, line, _ = item.location
        report.outcome = "skipped"
        report.longrepr = (file, line or 0, f"{len(skipped)} of its subtests did not run: {skipped[0]}")


def _forget_arguments(longrepr: object) -> None:
    """A traceback shows what each function was called with: the parameters of a query, and so a subject's words."""
    for traceback, _, _ in longrepr.chain if isinstance(longrepr, ExceptionChainRepr) else ():
        for entry in traceback.reprentries:
            if isinstance(entry, ReprEntry):
                entry.reprfuncargs = entry.reprlocals = None
