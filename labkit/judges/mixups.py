"""The reply mix-up: who uses a connection next is handed the reply to a request that was cancelled.

It showed users of ChatGPT each other's chats in March 2023 (CVE-2023-28858, CVE-2023-28859): up to
4.5.3, redis-py gave a connection back to its pool with a reply still on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labkit.judges.verdict import Verdict


@dataclass(frozen=True)
class Answer:
    """What one of those who came next was told."""

    key: str
    value: str | None
    """The value; None where there was none."""
    failure: str = ""
    """What was raised instead, or that nothing came; empty for an answer."""

    def __str__(self) -> str:
        return f"{self.key} was answered {self.failure or repr(self.value)}"


@dataclass(frozen=True)
class MixupHistory:
    """One request that was cancelled with its reply on the way, and those that came next."""

    canaries: Mapping[str, str]
    """The one value of each key, the cancelled request's among them."""
    cancelled: str
    """The key that the cancelled request asked for."""
    obstacles: tuple[str, ...]
    """What did not happen of what makes the order of events; empty when all did."""
    answers: tuple[Answer, ...]


def judge_mixup(history: MixupHistory) -> Verdict:
    """Whether everybody who came next was answered with the value of the own key.

    Reasons: `foreign-reply` (the value of another key), `lost-reply` (none, another text or an
    error); and unknown with `fault-not-applied` where the events did not come in their order, since
    a reply that has arrived before the connection is used again proves nothing.
    """
    judged = f"{len(history.answers)} requests after the cancelled one for {history.cancelled}"
    if foreign := [str(one) for one in history.answers if _foreign(one, history.canaries)]:
        return Verdict.violated("foreign-reply", foreign, judged=judged)
    if history.obstacles or not history.answers:
        told = "; ".join(history.obstacles) or "nobody came next"
        return Verdict.unknown("fault-not-applied", f"{judged}: {told}.")
    if lost := [str(one) for one in history.answers if one.value != history.canaries[one.key]]:
        return Verdict.violated("lost-reply", lost, judged=judged)
    return Verdict.sound(f"{judged}: each was answered with the value of its own key.")


def _foreign(answer: Answer, canaries: Mapping[str, str]) -> bool:
    """Whether the answer holds what belongs to another key."""
    told = answer.value or answer.failure
    return any(canary in told for key, canary in canaries.items() if key != answer.key)
