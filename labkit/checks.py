"""A check: a named claim inside a notebook, and the unit of every result.

::

    async with lab.check("nothing_is_left", "A failing statement leaves nothing behind") as check:
        ...
        check.equal(await witness.count("threads"), 0, "threads left", reason="partial-write")

The block's body records expectations; it goes on after one that does not hold, so that a reader
sees all of them. Leaving the block decides the outcome: broken when the body raised, ran out of
time, left a task or connection behind, or compared nothing; failed when an expectation did not
hold; unknown when the evidence was missing; skipped when the target declared that it lacks what the
body touched first (broken, where the claim is isolation and the target has that part); else passed.
An exception does not leave the block, so the next check runs; an interrupt, an exit and a
cancellation from outside do, once they are recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, Protocol, Self

from labkit.deadlines import Alarm, Cut, CutShort
from labkit.errors import UsageError
from labkit.hygiene import Watch, watching
from labkit.records import CheckRecord, CheckStarted, Expectation, Outcome, Record
from labkit.skips import SkipCheck, skip_in

_LONGEST_VALUE_CHARS: Final = 20_000
_CLOSE_S: Final = 5.0


class Judgement(Protocol):
    """What a judge says of a history."""

    @property
    def valid(self) -> bool | None:
        """True, False, or None when the history is no evidence."""

    @property
    def reason(self) -> str:
        """The reason code; what went wrong, or why nothing can be said."""

    @property
    def detail(self) -> str:
        """How many, the first and the worst, in one sentence."""


@dataclass(frozen=True)
class Surroundings:
    """What a check is given by its lab."""

    emit: Callable[[Record], None]
    """Writes a record into the cell's output."""
    show: Callable[[object], None]
    """Displays evidence in the cell's output."""
    redact: Callable[[str], str]
    """Takes the known secrets out of a captured text."""
    wall_clock: Callable[[], float]
    """Seconds since the epoch."""


class Check:
    """One check, as an asynchronous context manager; made by `Lab.check`.

    Checks follow each other: one inside another, or two at once, are a `UsageError`. So is a
    deadline that is not a number of seconds above 0, and whatever is said outside of the block.
    """

    def __init__(
        self,
        name: str,
        claim: str,
        *,
        deadline_s: float,
        surroundings: Surroundings,
        isolation: bool = False,
    ) -> None:
        if not 0 < deadline_s < math.inf:
            raise UsageError(f"check {name}: deadline_s must be above 0, not {deadline_s!r}")
        self.name = name
        self.claim = claim
        self._deadline_s = deadline_s
        self._around = surroundings
        self._isolation = isolation
        self._needs: dict[str, None] = {}
        self._closers: list[Callable[[], Awaitable[object]]] = []
        self._expectations: list[Expectation] = []
        self._notes: list[str] = []
        self._unknown: tuple[str, str] | None = None
        self._shown = False
        self._is_open = False
        self._watch = Watch()
        self.record: CheckRecord | None = None
        """How the check ended; None while its body runs."""

    # What a body says ---------------------------------------------------------------------------

    def equal(self, actual: object, expected: object, label: str, *, reason: str) -> bool:
        """Expect `actual == expected`; says whether it holds."""
        holds = bool(actual == expected)
        return self._expect(label, repr(expected), repr(actual), holds, reason)

    def at_most(self, actual: float, bound: float, label: str, *, reason: str) -> bool:
        """Expect a number that is not above the bound; says whether it holds."""
        return self._expect(label, f"≤ {bound!r}", repr(actual), actual <= bound, reason)

    def at_least(self, actual: float, bound: float, label: str, *, reason: str) -> bool:
        """Expect a number that is not below the bound; says whether it holds."""
        return self._expect(label, f"≥ {bound!r}", repr(actual), actual >= bound, reason)

    def holds(
        self, condition: bool, label: str, *, expected: str, actual: object, reason: str
    ) -> bool:
        """Expect a condition that has been computed; both sides are told in words or values.

        Raises `UsageError` for anything but True and False: a coroutine that was not awaited, or
        a list, would always hold.
        """
        if not isinstance(condition, bool):
            raise self._misuse(f"{label!r} must be True or False, not {condition!r:.80}")
        shown = actual if isinstance(actual, str) else repr(actual)
        return self._expect(label, expected, shown, condition, reason)

    def judged(self, judgement: Judgement, label: str) -> bool:
        """Expect that a judge found the history valid; a judge without evidence makes unknown."""
        reason = judgement.reason or "not-valid"
        if judgement.valid is None:
            self.unknown(reason, f"{label}: {judgement.detail}")
            return False
        return self._expect(label, "valid", judgement.detail, judgement.valid, reason)

    @contextlib.asynccontextmanager
    async def refuses(
        self, error: type[Exception], says: str, label: str, *, reason: str
    ) -> AsyncIterator[None]:
        """Expect that the block raises `error` with a text that contains `says`.

        Any other error goes on and breaks the check; no error at all does not hold. Raises
        `UsageError` where any error would do: `Exception` itself, or an empty text.
        """
        if error is Exception or not says:
            raise self._misuse(f"{label!r} must name the one error that it expects, and its text")
        wanted = f"{error.__name__}: …{says}…"
        try:
            yield
        except error as raised:
            told = f"{type(raised).__name__}: {raised}"
            self._expect(label, wanted, told, says in str(raised), reason)
        else:
            self._expect(label, wanted, "no error", holds=False, reason=reason)

    def unknown(self, reason: str, why: str) -> None:
        """Say that the evidence is missing: the check can no longer pass."""
        self._require_open(f"missing evidence ({reason})")
        self._unknown = self._unknown or (reason, self._told(why))

    def note(self, text: str) -> None:
        """Tell the reader something that is not compared with anything."""
        self._require_open("a note")
        self._notes.append(self._told(text))

    def show(self, evidence: object) -> None:
        """Display a table or picture as this check's evidence."""
        self._require_open("evidence")
        self._shown = True
        self._around.show(evidence)

    def _expect(self, label: str, expected: str, actual: str, holds: bool, reason: str) -> bool:
        self._require_open(repr(label))
        if not reason:
            raise self._misuse(f"{label!r} needs a reason code")
        label, expected, actual = map(self._told, (label, expected, actual))
        self._expectations.append(Expectation(label, expected, actual, bool(holds), reason))
        return bool(holds)

    def _require_open(self, what: str) -> None:
        if not self._is_open:
            raise self._misuse(f"{what} must be told inside its block")

    def _misuse(self, text: str) -> UsageError:
        return UsageError(f"check {self.name}: {text}")

    def _told(self, text: str) -> str:
        """A captured text as a record holds it: no secrets, valid Unicode, not endless."""
        text = self._around.redact(text).encode("utf-8", "backslashreplace").decode()
        if len(text) <= _LONGEST_VALUE_CHARS:
            return text
        return f"{text[:_LONGEST_VALUE_CHARS]}… ({len(text):,} characters)"

    # What its lab says --------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether its body runs."""
        return self._is_open

    def needs(self, need: str) -> None:
        """Note what the body touches of the target, such as `data.create_user`."""
        self._needs[need] = None

    def closes(self, close: Callable[[], Awaitable[object]]) -> None:
        """Have something of the target's closed once the body is over."""
        self._closers.append(close)

    # Its begin and end --------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._alarm = Alarm(self._deadline_s, self._may_cut)
        self._started_at = self._around.wall_clock()
        self._started = time.monotonic()
        with contextlib.ExitStack() as stack:
            stack.callback(self._alarm.release)
            self._alarm.arm()
            stack.enter_context(watching(self._watch))
            self._around.emit(
                CheckStarted(self.name, self.claim, self._started_at, self._deadline_s)
            )
            self._exit = stack.pop_all()
        self._is_open = True
        return self

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Coroutine[Any, Any, bool]:
        # No coroutine itself: the alarm must be off before the body's frame can be cut again.
        self._alarm.disarm()
        self._seconds = time.monotonic() - self._started
        self._is_open = False
        return self._end(error)

    async def _end(self, error: BaseException | None) -> bool:
        with self._exit:
            try:
                left = await self._look_around()
            except asyncio.CancelledError as cancelled:
                left, error = None, cancelled
            self.record = self._recorded(*self._decide(error, left))
            self._around.emit(self.record)
        if self._alarm.cut is Cut.INTERRUPT:
            raise KeyboardInterrupt(f"interrupted in check {self.name}") from None
        if error is not None and not self._ends_here(error):
            raise error
        return True

    def _recorded(self, outcome: Outcome, reason: str, detail: str) -> CheckRecord:
        return CheckRecord(
            name=self.name,
            claim=self.claim,
            outcome=outcome,
            reason=reason,
            detail=self._told(detail),
            expectations=tuple(self._expectations),
            notes=tuple(self._notes),
            started_at=self._started_at,
            seconds=self._seconds,
            needs=tuple(self._needs),
        )

    def _may_cut(self, frame: FrameType | None, running: asyncio.Task[Any]) -> bool:
        is_body = running is self._task or self._watch.owns(running)
        # A task runs for a moment longer than its coroutine: an error there would lose the task.
        in_coroutine = getattr(running.get_coro(), "cr_running", False)
        return is_body and in_coroutine and not _is_beginning_or_ending(frame)

    async def _look_around(self) -> tuple[str, str] | None:
        errors = await self._watch.background_errors()
        tasks = await self._watch.end_tasks()
        unclosed = await self._close()
        connections = await self._watch.end_connections()
        for reason, found in (
            ("background-error", errors),
            ("leaked-task", tasks),
            ("not-closed", unclosed),
            ("leaked-connection", connections),
        ):
            if found:
                return reason, "; ".join(found)
        return None

    async def _close(self) -> tuple[str, ...]:
        """Close what the body began of the target's, for 5 s in all; what could not be closed."""
        give_up_at = asyncio.get_running_loop().time() + _CLOSE_S
        errors = []
        for close in self._closers:
            try:
                async with asyncio.timeout_at(give_up_at):
                    await close()
            except Exception as error:  # noqa: BLE001 - the record tells it
                errors.append(f"what the target had begun cannot be closed: {error!r}")
        return tuple(errors)

    def _decide(
        self, error: BaseException | None, left: tuple[str, str] | None
    ) -> tuple[Outcome, str, str]:
        if self._alarm.cut is not None:
            return self._decide_cut(self._alarm.cut, error)
        skip = skip_in(error)
        if skip is not None:
            return self._decide_skip(skip)
        if error is not None:
            is_outside = isinstance(error, asyncio.CancelledError) and not self._ends_here(error)
            return Outcome.BROKEN, "cancelled" if is_outside else "exception", _traceback(error)
        if left is not None:
            return Outcome.BROKEN, *left
        return self._decide_expectations()

    def _decide_cut(self, cut: Cut, error: BaseException | None) -> tuple[Outcome, str, str]:
        text = f"the check did not end within its deadline of {self._deadline_s:g} s"
        if cut is Cut.INTERRUPT:
            text = "the check was interrupted while it ran"
        where = "" if error is None else f"\n{_traceback(error)}"
        return Outcome.BROKEN, cut.value, f"{text}{where}"

    def _decide_skip(self, skip: SkipCheck) -> tuple[Outcome, str, str]:
        if self._isolation and skip.in_area:
            text = f"{skip}. But it has that part, and isolation is shown wherever there are users"
            return Outcome.BROKEN, "isolation-not-skippable", text
        if self._expectations or self._shown or self._unknown is not None:
            text = f"{skip}, but the check had already compared, shown or doubted something"
            return Outcome.BROKEN, "skipped-late", text
        return Outcome.SKIPPED, f"lacks-{skip.capability}", str(skip)

    def _decide_expectations(self) -> tuple[Outcome, str, str]:
        missed = [expectation for expectation in self._expectations if not expectation.holds]
        if missed:
            first, all_of_them = missed[0], len(self._expectations)
            told = f"{len(missed)} of {all_of_them} expectation{'s' * (all_of_them != 1)}"
            told += f" did not hold; the first: {first.label}: expected "
            return Outcome.FAILED, first.reason, f"{told}{first.expected}, got {first.actual}"
        if self._unknown is not None:
            return Outcome.UNKNOWN, *self._unknown
        if not self._expectations:
            return Outcome.BROKEN, "vacuous", "the check ended without having compared anything"
        return Outcome.PASSED, "", ""

    def _ends_here(self, error: BaseException) -> bool:
        """Whether the error is the check's own affair and stops at its block."""
        if isinstance(error, BaseExceptionGroup):
            return all(map(self._ends_here, error.exceptions))
        if isinstance(error, asyncio.CancelledError):
            return not self._alarm.is_cancelled_outside
        return isinstance(error, Exception | SkipCheck | CutShort)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _is_beginning_or_ending(frame: FrameType | None) -> bool:
    """Whether the frame was called, however deep, while a check begins or ends."""
    while frame is not None:
        if frame.f_code in _BEGIN_AND_END:
            return True
        frame = frame.f_back
    return False


_BEGIN_AND_END: Final[frozenset[CodeType]] = frozenset(
    {Check.__aenter__.__code__, Check.__aexit__.__code__}
)
