"""How soon each process works with what was updated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from labkit.display import Picture, figure_svg
from labkit.pictures.drawing import CLIENT, SERVER, SPAN, drawing


def propagation_picture(processes: Mapping[str, Sequence[float]], *, bound_ms: float) -> Picture:
    """One row for each process: a mark for each update, and its median, in milliseconds.

    The bound is drawn where it is near enough for the marks to be told apart, and told in any case.
    """
    figure, axes = drawing(rows=len(processes))
    slowest = max((one for times in processes.values() for one in times), default=0.0)
    for row, times in enumerate(processes.values()):
        axes.axhline(row, color=SPAN, linewidth=0.5, zorder=0)
        axes.plot(times, [row] * len(times), "o", color=SERVER, markersize=6, alpha=0.6, zorder=2)
        if times:
            axes.plot(median(times), row, "|", color=CLIENT, markersize=16, zorder=3)
            axes.annotate(
                f"median {median(times):.1f} ms",
                (max(times), row),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color=CLIENT,
            )
    if bound_ms <= 3 * slowest:
        axes.axvline(bound_ms, color=CLIENT, linestyle="--", linewidth=1.2, zorder=1)
    axes.set_yticks(range(len(processes)), list(processes))
    axes.set_ylim(len(processes) - 0.4, -0.6)
    axes.set_xlim(0, max(1.45 * slowest, 1.0))
    axes.set_xlabel("ms after the update was acknowledged")
    return figure_svg(figure, _words(processes, slowest, bound_ms))


def _words(processes: Mapping[str, Sequence[float]], slowest: float, bound_ms: float) -> str:
    count = sum(map(len, processes.values()))
    if not count:
        return f"No update reached a process; the bound is {bound_ms:g} ms."
    return (
        f"{count} times at which {len(processes)} processes worked with an update: the slowest "
        f"after {slowest:.1f} ms, where {bound_ms:g} ms are allowed."
    )
