"""What a judge says of a history: it holds, it does not, or the history cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Verdict:
    """A judge's answer, with the examples that a person needs to believe it."""

    valid: bool | None
    """None where the history holds too little to be judged: unknown is never a pass."""
    reason: str = ""
    """The reason code of what is wrong or missing; empty when the history is valid."""
    count: int = 0
    """How many violations there are."""
    first: str = ""
    worst: str = ""
    detail: str = ""
    """One sentence: what was judged, or what is missing."""

    @classmethod
    def sound(cls, detail: str) -> Self:
        """The history keeps its promise; `detail` says how much of it was looked at."""
        return cls(valid=True, detail=detail)

    @classmethod
    def unknown(cls, reason: str, detail: str) -> Self:
        """The history cannot be judged, since what `detail` names is missing."""
        return cls(valid=None, reason=reason, detail=detail)

    @classmethod
    def violated(
        cls, reason: str, violations: Sequence[str], *, worst: str = "", judged: str = ""
    ) -> Self:
        """The promise is broken; `violations` come in the order in which they were met.

        `worst` is the first where no order of badness is known. The detail tells how many there
        are, the first and the worst, after what was judged.
        """
        first = violations[0]
        counted = f"{len(violations)} violation{'' if len(violations) == 1 else 's'}"
        told = [judged, counted, f"the first: {first}"]
        if worst not in {"", first}:
            told.append(f"the worst: {worst}")
        return cls(
            valid=False,
            reason=reason,
            count=len(violations),
            first=first,
            worst=worst or first,
            detail="; ".join(filter(None, told)),
        )
