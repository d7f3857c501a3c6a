"""The results as Markdown: what was measured, where, and how far the rounds lay apart."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from benchmarks.contenders import LABKIT, LABKIT_ONE, NBMAKE, PAPERMILL, SCRIPT, SCRIPT_WARM
from benchmarks.results import (
    Checks,
    Comparison,
    Footprint,
    Growth,
    Machine,
    Results,
    Series,
    Spread,
)
from labkit.errors import UsageError

BEGIN: Final = "<!-- benchmarks -->\n"
END: Final = "<!-- end of benchmarks -->\n"

_MB: Final = 1_000_000


def page_with(page: str, section: str) -> str:
    """The page with the section between its two marks, in place of what is there.

    Raises `UsageError` where it has not each of them once, in their order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        text = f"the page must have {BEGIN.strip()} and {END.strip()} once each, in this order"
        raise UsageError(text)
    return f"{before}{begin}{section}{end}{after}"


def section(results: Results) -> str:
    """All tables, and the sentences around them."""
    machine, plain, lab = results.machine, results.plain, results.lab
    rounds = len(plain.contenders[0].seconds)
    parts = (
        _where(machine, rounds),
        _comparison(f"{plain.notebooks} fixed notebooks of ten cells", plain),
        _comparison(f"the lab's own {lab.notebooks} notebooks", lab),
        _layer(lab),
        *_waits(lab),
        _services(results.services),
        _growth(results.growth),
        _checks(results.checks),
    )
    return "\n".join(parts)


def _where(machine: Machine, rounds: int) -> str:
    commit = machine.commit[:10] + (" with changes" if machine.is_changed else "")
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions)
    return (
        f"Measured on {machine.date} at commit {commit}, {machine.system}, {machine.cores} cores,"
        f" CPython {machine.python}, with a load of {machine.load:g} at the beginning: medians of"
        f" {rounds} rounds and their quartiles; each ratio is one of times in the same round."
        f" {versions}.\n"
    )


def _comparison(title: str, comparison: Comparison) -> str:
    names = [one.name for one in comparison.contenders]
    to = [name for name in (PAPERMILL, NBMAKE, SCRIPT) if name in names]
    head = (title, "seconds", "its cells, added up", *(f"÷ {name}" for name in to))
    rows = (
        (
            one.name,
            _spread(Spread.of(one.seconds)),
            _spread(Spread.of(one.cells_s)) if one.cells_s else "",
            *(_spread(one.over(comparison.contender(name))) for name in to),
        )
        for one in comparison.contenders
    )
    return _table(head, rows)


def _layer(lab: Comparison) -> str:
    ours = lab.contender(LABKIT_ONE)
    cold, warm = (
        _spread(ours.beyond(lab.contender(script), parts=lab.notebooks), 1000, digits=0)
        for script in (SCRIPT, SCRIPT_WARM)
    )
    return (
        f"Beyond the plain process of the same round, `labkit run` takes {cold} ms a notebook, its"
        f" report included, when it executes one at a time; beyond the one whose platform's"
        f" processes are forked, as its own are, {warm} ms.\n"
    )


def _waits(lab: Comparison) -> Iterator[str]:
    """How long notebooks waited for their leases; nothing where that was not measured."""
    ours = lab.contender(LABKIT_ONE), lab.contender(LABKIT)
    waits_s = [*chain.from_iterable(one.waits_s for one in ours)]
    if waits_s:
        waited, longest = _spread(Spread.of(waits_s), 1000, digits=0), 1000 * max(waits_s)
        yield (
            f"A notebook of `labkit run` waits {waited} ms for its lease; of {len(waits_s)} none"
            f" waited longer than {longest:.0f}.\n"
        )


def _services(services: Iterable[Series]) -> str:
    rows = ((one.name, _spread(Spread.of(one.seconds), 1000, digits=0)) for one in services)
    return _table(("services", "ms"), rows)


def _growth(growth: Iterable[Growth]) -> str:
    by_count = defaultdict[int, list[Growth]](list)
    for one in growth:
        by_count[one.executions].append(one)
    head = (
        *("executions of one notebook", "ms each", "processor ms each"),
        *("driver: MB more", "descriptors more", "warm process: MB more", "descriptors more"),
    )
    return _table(head, (_growth_row(count, ones) for count, ones in by_count.items()))


def _growth_row(count: int, ones: Sequence[Growth]) -> Iterator[str]:
    yield str(count)
    yield _spread(Spread.of(one.each_s for one in ones), 1000, digits=0)
    yield _spread(Spread.of(one.processor_s / count for one in ones), 1000, digits=0)
    for more in ([_more(*one.driver) for one in ones], [_more(*one.warm) for one in ones]):
        memory_bytes, descriptors = (statistics.median(each) for each in zip(*more, strict=True))
        yield f"{memory_bytes / _MB:.1f}"
        yield f"{descriptors:g}"


def _more(before: Footprint, after: Footprint) -> tuple[int, int]:
    """By how many bytes and descriptors a process has grown."""
    more_bytes = after.proportional_bytes - before.proportional_bytes
    return more_bytes, after.descriptors - before.descriptors


def _checks(checks: Iterable[Checks]) -> str:
    by_count = defaultdict[int, list[float]](list)
    for one in checks:
        by_count[one.checks].append(one.each_s)
    rows = ((str(count), _spread(Spread.of(each_s), 1000)) for count, each_s in by_count.items())
    return _table(("checks of one notebook", "ms each"), rows)


def _spread(spread: Spread, factor: float = 1, *, digits: int = 2) -> str:
    middle, lower, upper = (
        f"{factor * value:.{digits}f}" for value in (spread.median, spread.lower, spread.upper)
    )
    return f"{middle} ({lower} to {upper})"


def _table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = chain((head, ["---"] * len(head)), rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
