"""Checks on a page of their own, and what they wrote there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from labkit.checks import Check, Surroundings
from labkit.records import CheckRecord, CheckStarted, Outcome, Record

Body = Callable[[Check], Awaitable[None]]


@dataclass
class Page:
    """Surroundings that keep what a notebook would show."""

    records: list[Record] = field(default_factory=list)
    shown: list[object] = field(default_factory=list)

    def check(self, deadline_s: float = 20.0, *, isolation: bool = False) -> Check:
        """A check on this page."""
        around = Surroundings(
            emit=self.records.append,
            show=self.shown.append,
            redact=lambda text: text.replace("hunter2-secret", "***"),
            wall_clock=lambda: 1.5,
        )
        return Check(
            "name", "claim", deadline_s=deadline_s, surroundings=around, isolation=isolation
        )


async def checked(body: Body, *, deadline_s: float = 20.0) -> CheckRecord:
    """The one record of a check with this body, when nothing leaves its block."""
    page = Page()
    async with page.check(deadline_s) as check:
        await body(check)
    started, record = page.records
    assert started == CheckStarted("name", "claim", 1.5, deadline_s)
    assert isinstance(record, CheckRecord)
    assert record is check.record
    return record


def record_of(body: Body, *, deadline_s: float = 20.0) -> CheckRecord:
    """The same, in a loop of its own."""
    return asyncio.run(checked(body, deadline_s=deadline_s))


def said(outcome: Outcome, reason: str, record: CheckRecord) -> bool:
    """Whether the record says so."""
    return (record.outcome, record.reason) == (outcome, reason)


async def holds(check: Check) -> None:
    """A body whose check passes."""
    check.equal(1, 1, "one", reason="other")
