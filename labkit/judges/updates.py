"""A counter that many increment at once: every acknowledged increment counts, once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from labkit.judges.verdict import Verdict


@dataclass(frozen=True)
class UpdateHistory:
    """Increments by one that were acknowledged, each with the value it was answered."""

    initial: int
    results: tuple[int, ...]
    """In the order of the answers, in which nothing is promised."""
    final: int
    """The value at the end, as the witness read it."""


def judge_updates(history: UpdateHistory) -> Verdict:
    """Whether the final value is the initial one and all increments, and each got its own result.

    Reasons, the first that applies: `lost-update` (the final value is too low), `phantom-update`
    (too high), `duplicate-result` (two increments were answered the same value), `wrong-result` (a
    value that the counter cannot have had after an increment); and unknown with `no-update`. Lost
    and phantom updates are counted; the worst duplicate is the value that was answered most often.
    """
    acknowledged = len(history.results)
    if not acknowledged:
        return Verdict.unknown("no-update", "No increment was acknowledged.")
    due = history.initial + acknowledged
    if history.final != due:
        return _off(history, due)
    judged = f"{acknowledged} increments from {history.initial} to {history.final}"
    times = {value: count for value, count in Counter(history.results).items() if count > 1}
    if times:
        texts = {value: f"{value} was answered {count} times" for value, count in times.items()}
        worst = texts[max(times, key=times.__getitem__)]
        return Verdict.violated(
            "duplicate-result", list(texts.values()), worst=worst, judged=judged
        )
    possible = range(history.initial + 1, history.final + 1)
    if odd := [value for value in history.results if value not in possible]:
        far = max(odd, key=lambda value: abs(value - history.initial))
        texts_odd = [f"{value} was answered" for value in odd]
        return Verdict.violated(
            "wrong-result", texts_odd, worst=f"{far} was answered", judged=judged
        )
    return Verdict.sound(f"{judged}, each answered with a value of its own.")


def _off(history: UpdateHistory, due: int) -> Verdict:
    by = history.final - due
    reason, which = ("lost-update", "lost") if by < 0 else ("phantom-update", "too many")
    text = f"the value ends at {history.final}, not {due}"
    told = f"{len(history.results)} increments from {history.initial}"
    return Verdict(
        valid=False,
        reason=reason,
        count=abs(by),
        first=text,
        worst=text,
        detail=f"{told}; {abs(by)} {which}: {text}",
    )
