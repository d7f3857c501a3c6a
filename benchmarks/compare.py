"""Contenders in turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from benchmarks.contenders import Contender, Took
from benchmarks.results import Comparison, Series
from benchmarks.stage import stage


async def in_turns(
    contenders: Sequence[Contender],
    notebooks: Sequence[Path],
    *,
    rounds: int,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
) -> Comparison:
    """Each contender once, then each of them once more, for so many rounds."""
    took: defaultdict[str, list[Took]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for contender in contenders:
            with stage(notebooks, environment) as place:
                took[contender.name].append(await contender.execute(place))
            seconds = took[contender.name][-1].seconds
            tell(f"round {number}: {seconds:.2f} s  {contender.name}")
    return Comparison(len(notebooks), tuple(_series(*one) for one in took.items()))


def _series(name: str, took: Sequence[Took]) -> Series:
    known = (one.cells_s for one in took if one.cells_s is not None)
    waits_s = tuple(chain.from_iterable(one.waits_s for one in took))
    return Series(name, tuple(one.seconds for one in took), tuple(known), waits_s)
