"""All transitions of an execution that were tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.judges.transitions import Attempt, ExecutionState
from labkit.tables import Cell, Table, Tone


def transition_table(attempts: Sequence[Attempt]) -> Table:
    """Six states by six: accepted or refused, illegal ones marked; what is wrong stands out.

    Of several attempts at one pair, one that went wrong is shown.
    """
    shown: dict[tuple[ExecutionState, ExecutionState], Attempt] = {}
    for attempt in sorted(attempts, key=lambda one: bool(one.fault)):
        shown[attempt.source, attempt.target] = attempt
    wrong = sum(bool(attempt.fault) for attempt in shown.values())
    return Table(
        caption="Transitions tried, from the state in the row to the state in the column",
        columns=("from", *ExecutionState),
        rows=tuple(
            (source.value, *(_cell(shown, source, target) for target in ExecutionState))
            for source in ExecutionState
        ),
        notes=(f"{len(shown)} of 36 pairs were tried, {wrong} of them went wrong.",),
    )


def _cell(
    shown: Mapping[tuple[ExecutionState, ExecutionState], Attempt],
    source: ExecutionState,
    target: ExecutionState,
) -> Cell:
    attempt = shown.get((source, target))
    if attempt is None:
        return Cell("? not tried", Tone.BAD)
    answer = "accepted" if attempt.accepted else "refused"
    match attempt.fault:
        case "" if attempt.accepted:
            return Cell(f"✓ {answer}", Tone.GOOD)
        case "":
            return Cell(f"{answer}, illegal", Tone.MUTED)
        case "illegal-accepted":
            return Cell(f"✗ {answer}, illegal", Tone.BAD)
        case "legal-refused":
            return Cell(f"✗ {answer}, legal", Tone.BAD)
    return Cell(f"✗ {answer}, row is {attempt.stored}", Tone.BAD)
