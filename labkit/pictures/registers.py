"""What was read of each key while it was being written, and whether the cache had it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from labkit.display import Picture, figure_svg
from labkit.judges.registers import RegisterHistory, RegisterRead, RegisterWrite, stale_reads
from labkit.pictures.drawing import CLIENT, FAULT, SERVER, SPAN, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_READS: Final = 1_000
"""How many reads are drawn at most, beside those that are stale."""
MOST_KEYS: Final = 24
"""How many keys have a row at most."""

_MOST_LABELS: Final = 60


def register_picture(history: RegisterHistory) -> Picture:
    """One row for each key: writes from call to acknowledgement, reads when they returned.

    A hit is a filled circle, a miss an empty diamond, a stale read a large cross. Where there are
    very many, the first `MOST_READS` are drawn, and of keys the first `MOST_KEYS` by name, those
    with a stale read before all others; both the picture and its words say so.
    """
    stale = [read for read, _ in stale_reads(history)]
    rows = _rows(history, stale)
    reads = [read for read in history.reads if read.key in rows]
    drawn = sorted(reads, key=lambda read: read.returned_s)[:MOST_READS]
    began_s = min((one.invoked_s for one in _operations(history)), default=0.0)
    figure, axes = drawing(rows=len(rows))
    _draw_writes(axes, [write for write in history.writes if write.key in rows], rows, began_s)
    hits, misses = _parted(drawn)
    shown_stale = [read for read in stale if read.key in rows]
    for these, mark, size, colour, filled, name in (
        (hits, "o", 4, SERVER, SERVER, "hit"),
        (misses, "D", 4, CLIENT, "white", "miss"),
        (shown_stale, "x", 10, FAULT, FAULT, "stale"),
    ):
        at_ms = [_ms(read.returned_s, began_s) for read in these]
        places = [rows[read.key] for read in these]
        axes.plot(
            at_ms, places, mark, color=colour, mfc=filled, markersize=size, label=name, zorder=3
        )
    axes.set_yticks(list(rows.values()), list(rows))
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    left_out = list(_left_out(history, rows, len(drawn), len(reads)))
    axes.set_xlabel("\n".join(["ms since the first call", *left_out]))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    return figure_svg(figure, " ".join([_told(history, len(stale)), *left_out]))


def _operations(history: RegisterHistory) -> Sequence[RegisterRead | RegisterWrite]:
    return [*history.reads, *history.writes]


def _rows(history: RegisterHistory, stale: Sequence[RegisterRead]) -> Mapping[str, int]:
    """The place of each key that is drawn."""
    bad = {read.key for read in stale}
    keys = {one.key for one in _operations(history)}
    chosen = sorted(keys, key=lambda key: (key not in bad, key))[:MOST_KEYS]
    return {key: place for place, key in enumerate(sorted(chosen))}


def _parted(
    reads: Sequence[RegisterRead],
) -> tuple[Sequence[RegisterRead], Sequence[RegisterRead]]:
    return [read for read in reads if read.is_hit], [read for read in reads if not read.is_hit]


def _draw_writes(
    axes: Axes, writes: Sequence[RegisterWrite], rows: Mapping[str, int], began_s: float
) -> None:
    """A bar for each write, with the version that it writes where there is room."""
    for place in rows.values():
        axes.axhline(place, color=SPAN, linewidth=0.5, zorder=0)
    axes.barh(
        [rows[write.key] for write in writes],
        [(write.returned_s - write.invoked_s) * 1000 for write in writes],
        left=[_ms(write.invoked_s, began_s) for write in writes],
        height=0.6,
        color=SPAN,
        label="write" if writes else None,
        zorder=1,
    )
    for write in writes if len(writes) <= _MOST_LABELS else ():
        middle_ms = _ms((write.invoked_s + write.returned_s) / 2, began_s)
        axes.annotate(
            str(write.version), (middle_ms, rows[write.key] - 0.32), ha="center", fontsize=6
        )


def _ms(at_s: float, began_s: float) -> float:
    return (at_s - began_s) * 1000


def _left_out(
    history: RegisterHistory, rows: Mapping[str, int], drawn: int, reads: int
) -> Iterator[str]:
    if drawn < reads:
        yield f"Only the first {drawn:,} of {reads:,} reads are drawn."
    keys = {one.key for one in _operations(history)}
    if len(rows) < len(keys):
        yield f"Only {len(rows)} of {len(keys)} keys are drawn."


def _told(history: RegisterHistory, stale: int) -> str:
    if not history.reads and not history.writes:
        return "Nothing was read or written."
    hits, misses = _parted(history.reads)
    is_numbered = 0 < len(history.writes) <= _MOST_LABELS
    numbered = " Above each write stands its version." if is_numbered else ""
    return (
        f"{len(history.writes):,} writes, {len(hits):,} reads that the cache had and "
        f"{len(misses):,} that it had not; {stale:,} were stale.{numbered}"
    )
