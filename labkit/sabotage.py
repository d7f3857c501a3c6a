"""What a sabotage is: a platform with one faulty part, and the checks that must notice it.

The classes of such platforms belong to whoever makes the platform; this is what is said of each, as
plain data, so that it can stand in a run's journal and report.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from labkit.errors import TargetError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Catch:
    """A check, and the reason code that it must give."""

    check: str
    reason: str


@dataclass(frozen=True)
class Sabotage:
    """A platform with one faulty part. Raises `TargetError` where it contradicts itself."""

    name: str
    """Lower-case words with hyphens, unique among those of its platform."""
    area: str
    target: str
    """The faulty platform, such as `labkit.reference.sabotage.data:CommitsOnError`."""
    fault: str
    """What is wrong with the part, in one sentence."""
    promise: str
    """The promise that it breaks, as the platform keeps it."""
    stands_for: str
    """The incident or class of bugs that it stands for."""
    must: tuple[Catch, ...]
    """The checks that must turn red, at least one."""
    may: tuple[str, ...] = ()
    """Checks further down the same promise, which may turn red with them."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            text = f"a sabotage's name is lower-case words with hyphens, not {self.name!r:.80}"
            raise TargetError(text)
        checks = [catch.check for catch in self.must]
        if not checks:
            raise TargetError(f"sabotage {self.name} names no check that must catch it")
        twice = sorted({one for one in checks if [*checks, *self.may].count(one) > 1})
        if twice:
            raise TargetError(f"sabotage {self.name} names {', '.join(twice)} twice")

    @classmethod
    def of(
        cls,
        faulty: type,
        name: str,
        *,
        area: str,
        promise: str,
        stands_for: str,
        must: Mapping[str, str],
        may: Iterable[str] = (),
    ) -> Self:
        """The sabotage that a platform's class is; the first line of its docstring is the fault.

        `must` maps each check that must catch it to its reason code.
        """
        return cls(
            name=name,
            area=area,
            target=f"{faulty.__module__}:{faulty.__qualname__}",
            fault=(inspect.getdoc(faulty) or "").partition("\n")[0],
            promise=promise,
            stands_for=stands_for,
            must=tuple(Catch(check, reason) for check, reason in must.items()),
            may=tuple(may),
        )

    def expected(self, check: str) -> str | None:
        """The reason code that a check must give; None when it need not turn red."""
        return next((catch.reason for catch in self.must if catch.check == check), None)


@dataclass(frozen=True)
class Trial:
    """One execution of a notebook for a proof."""

    name: str
    """The execution's own name in its run."""
    notebook: str
    sabotage: str
    """The sabotage's name; empty for the platform as it is."""


@dataclass(frozen=True)
class KnownCatch:
    """That a check was seen to catch a sabotage."""

    notebook: str
    check: str
    sabotage: str
    platform: str
    """The target that has it, such as `labkit.reference:Platform`."""
    fault: str
    caught: int
    """How often it was caught in so many trials with this notebook."""
    trials: int
    shown_at: float
    """When it was last tried, in seconds since the epoch."""
    labkit: str
    """The version that showed it."""
    is_current: bool
    """Whether the notebook is still the one that showed it."""
