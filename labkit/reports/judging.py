"""What to believe of one executed notebook: pure functions from evidence to results.

The checks that count are the planned ones, so that one which never ran is missed. No record is
believed beyond what its own expectations bear, and an end that was not seen is not assumed.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from labkit.journal import Ending, NotebookEnded, PlannedCheck, PlannedNotebook
from labkit.records import CheckRecord, CheckStarted, LabClosed, LabOpened, Outcome, worst
from labkit.reports.document import Cell, Document, Malformed
from labkit.reports.results import (
    NEVER_RAN,
    NOT_SELECTED,
    CheckResult,
    NotebookResult,
    Problem,
)


@dataclass(frozen=True)
class Witnessed:
    """What the journal tells of one notebook."""

    ended: NotebookEnded | None
    begun: frozenset[str]
    """The checks whose start came in."""
    killed: Mapping[str, float]
    """The checks that a kernel was killed for, each with its deadline in seconds."""


@dataclass(frozen=True)
class _Testimony:
    """What the notebook tells of itself."""

    starts: tuple[tuple[Cell, CheckStarted], ...]
    ends: tuple[tuple[Cell, CheckRecord], ...]
    opened: LabOpened | None
    closed: LabClosed | None
    malformed: tuple[str, ...]


_UNFINISHED: Final[Mapping[Ending | None, tuple[str, str]]] = types.MappingProxyType(
    {
        None: ("cut-off", "the run was cut off while this check ran"),
        Ending.KERNEL_DIED: ("kernel-died", "the kernel died while this check ran"),
        Ending.CHECK_KILLED: ("kernel-died", "the kernel was killed while this check ran"),
        Ending.CANCELLED: ("interrupted", "the run was cancelled while this check ran"),
        Ending.DEADLINE: ("interrupted", "the notebook's deadline passed while this check ran"),
    }
)
"""Why a check that started has no record, by the ending of its notebook."""

_UNFINISHED_OTHERWISE: Final = ("no-record", "this check started and left no record")

_NEVER_EXECUTED: Final = frozenset(
    {None, Ending.NEVER_STARTED, Ending.DESELECTED, Ending.NO_KERNEL, Ending.NO_LEASE}
)
"""The endings after which an executed notebook may rightly be missing."""

_ONLY_UNKNOWN: Final = frozenset({Ending.CANCELLED, Ending.DEADLINE, Ending.NEVER_STARTED})
"""The endings that say nothing against the notebook itself."""


def judge_notebook(
    plan: PlannedNotebook, read: Document | Problem, witnessed: Witnessed
) -> NotebookResult:
    """The result of one notebook; `read` is a `Problem` where no document could be had."""
    document = read if isinstance(read, Document) else None
    testimony = _listen(document)
    checks = tuple(_judge_check(check, testimony, witnessed, read) for check in plan.checks)
    checks += tuple(_undeclared(plan, testimony))
    ended = witnessed.ended
    return NotebookResult(
        name=plan.name,
        title=plan.title,
        source=plan.source,
        ending=ended.ending if ended else None,
        detail=ended.detail if ended else "",
        cell=ended.cell if ended else None,
        seconds=ended.seconds if ended else 0.0,
        opened=testimony.opened,
        checks=checks,
        problems=tuple(_problems(plan, read, testimony, witnessed, checks)),
        document=document,
        repeats=plan.repeats,
        spent=ended.spent if ended else (),
    )


def _listen(document: Document | None) -> _Testimony:
    found = list(document.records()) if document else []
    opened = [record for _, record in found if isinstance(record, LabOpened)]
    closed = [record for _, record in found if isinstance(record, LabClosed)]
    return _Testimony(
        starts=tuple((cell, record) for cell, record in found if isinstance(record, CheckStarted)),
        ends=tuple((cell, record) for cell, record in found if isinstance(record, CheckRecord)),
        opened=opened[0] if opened else None,
        closed=closed[-1] if closed else None,
        malformed=tuple(record.detail for _, record in found if isinstance(record, Malformed)),
    )


def _judge_check(
    check: PlannedCheck, testimony: _Testimony, witnessed: Witnessed, read: Document | Problem
) -> CheckResult:
    """The worst of what was found of a planned check; nothing found is unknown."""
    found = [_believe(cell, record) for cell, record in testimony.ends if record.name == check.name]
    if _is_unfinished(check, testimony, witnessed) and isinstance(read, Document):
        found.append(_unfinished(check, testimony, witnessed))
    return _worst_of(found) if found else _never_ran(check, witnessed, read)


def _is_unfinished(check: PlannedCheck, testimony: _Testimony, witnessed: Witnessed) -> bool:
    """Whether the check started, by notebook or journal, more often than it ended."""
    starts = sum(started.name == check.name for _, started in testimony.starts)
    ends = sum(record.name == check.name for _, record in testimony.ends)
    begun = check.name in witnessed.begun or check.name in witnessed.killed
    return max(starts, int(begun)) > ends


def _worst_of(results: Sequence[CheckResult]) -> CheckResult:
    outcome = worst([result.outcome for result in results])
    return next(result for result in results if result.outcome is outcome)


def _believe(cell: Cell, record: CheckRecord) -> CheckResult:
    """The record as a result, or as broken where its outcome is more than its facts bear."""
    doubt = _doubt(record)
    return CheckResult(
        name=record.name,
        claim=record.claim,
        outcome=Outcome.BROKEN if doubt else record.outcome,
        reason=doubt[0] if doubt else record.reason,
        detail=doubt[1] if doubt else record.detail,
        expectations=record.expectations,
        notes=record.notes,
        needs=record.needs,
        seconds=record.seconds,
        cell=cell.index,
    )


def _doubt(record: CheckRecord) -> tuple[str, str] | None:
    if record.outcome is Outcome.PASSED and not record.expectations:
        return "vacuous", "the check says that it passed, but it compared nothing"
    failing = sum(not fact.holds for fact in record.expectations)
    if record.outcome is Outcome.PASSED and failing:
        told = f"{failing} of its {len(record.expectations)} expectations did not hold"
        return "contradiction", f"the check says that it passed, but {told}"
    if record.outcome is Outcome.SKIPPED and record.expectations:
        return "contradiction", "the check says that it was skipped, but it had compared something"
    return None


def _unfinished(check: PlannedCheck, testimony: _Testimony, witnessed: Witnessed) -> CheckResult:
    ending = witnessed.ended.ending if witnessed.ended else None
    reason, detail = _UNFINISHED.get(ending, _UNFINISHED_OTHERWISE)
    if check.name in witnessed.killed:
        deadline_s = witnessed.killed[check.name]
        reason = "deadline"
        detail = f"it resisted its deadline of {deadline_s:g} s, and its kernel was killed"
    cells = [cell.index for cell, started in testimony.starts if started.name == check.name]
    cell = cells[-1] if cells else None
    return CheckResult(check.name, check.claim, Outcome.BROKEN, reason, detail, cell=cell)


def _never_ran(check: PlannedCheck, witnessed: Witnessed, read: Document | Problem) -> CheckResult:
    ended = witnessed.ended
    ending = ended.ending if ended else None
    if not check.is_selected:
        detail = "the run was asked for other checks (-k), and did not execute its cell"
        told = (Outcome.DESELECTED, NOT_SELECTED, detail)
        return CheckResult(check.name, check.claim, *told)
    if ended and ending is Ending.DESELECTED:
        told = (Outcome.DESELECTED, "fail-fast", ended.detail)
        return CheckResult(check.name, check.claim, *told)
    if isinstance(read, Problem) and ending not in _NEVER_EXECUTED:
        return CheckResult(check.name, check.claim, Outcome.UNKNOWN, read.reason, read.detail)
    detail = "declared in the notebook, but its cell never ran"
    return CheckResult(check.name, check.claim, Outcome.UNKNOWN, NEVER_RAN, detail)


def _undeclared(plan: PlannedNotebook, testimony: _Testimony) -> Iterator[CheckResult]:
    """Records under names that the source does not declare, each name once."""
    told = [(cell, record.name, record.claim) for cell, record in testimony.starts]
    told += [(cell, record.name, record.claim) for cell, record in testimony.ends]
    seen = {check.name for check in plan.checks}
    for cell, name, claim in told:
        if name not in seen:
            seen.add(name)
            detail = (
                "the notebook holds a record of this name, but its source declares no such check"
            )
            reason = "undeclared-check"
            yield CheckResult(name, claim, Outcome.BROKEN, reason, detail, cell=cell.index)


def _problems(
    plan: PlannedNotebook,
    read: Document | Problem,
    testimony: _Testimony,
    witnessed: Witnessed,
    checks: Sequence[CheckResult],
) -> Iterator[Problem]:
    """What is wrong with the notebook and is not told by one of its checks."""
    for detail in testimony.malformed:
        yield Problem(Outcome.BROKEN, "malformed-record", detail)
    ended = witnessed.ended
    if isinstance(read, Problem) and (ended.ending if ended else None) not in _NEVER_EXECUTED:
        yield read
    if ended is None:
        yield Problem(Outcome.UNKNOWN, "cut-off", "the run was cut off before this notebook's end")
    elif ended.ending is Ending.DESELECTED:
        if isinstance(read, Document):
            detail = "the run says that it left this notebook out, but it was executed"
            yield Problem(Outcome.BROKEN, ended.ending.value, detail)
    elif ended.ending is not Ending.REACHED_THE_END:
        yield from _problem_of_the_ending(plan, testimony, witnessed, ended)
    elif isinstance(read, Document):
        yield from _problems_of_the_end(read, testimony, checks)


def _problem_of_the_ending(
    plan: PlannedNotebook, testimony: _Testimony, witnessed: Witnessed, ended: NotebookEnded
) -> Iterator[Problem]:
    """An early ending, unless it cut off a check, which is broken for it and tells it."""
    told = any(_is_unfinished(check, testimony, witnessed) for check in plan.checks)
    if ended.ending not in _UNFINISHED or not told:
        outcome = Outcome.UNKNOWN if ended.ending in _ONLY_UNKNOWN else Outcome.BROKEN
        detail = ended.detail or f"the notebook ended early: {ended.ending.replace('-', ' ')}"
        yield Problem(outcome, ended.ending.value, detail)


def _problems_of_the_end(
    document: Document, testimony: _Testimony, checks: Sequence[CheckResult]
) -> Iterator[Problem]:
    """What speaks against an end that the driver believes was reached."""
    if testimony.closed is None:
        yield Problem(Outcome.BROKEN, "not-closed", "the end was reached, but the lab never closed")
    for cell in document.cells:
        raised = cell.raised
        if raised and raised.name != "NotGreen" and "raises-exception" not in cell.tags:
            detail = f"cell {cell.index} raised {raised.name}: {raised.value}"
            yield Problem(Outcome.BROKEN, "cell-error", detail)
    outcome = worst([check.outcome for check in checks])
    verdict = testimony.closed.outcome if testimony.closed else outcome
    if outcome.is_green and not verdict.is_green:
        detail = f"every check is green, but the lab closed as {verdict.value}"
        yield Problem(worst([Outcome.UNKNOWN, verdict]), "contradiction", detail)
