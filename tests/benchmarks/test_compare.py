"""Contenders take turns, each time on a stage of their own."""

import asyncio
import os
from pathlib import Path

import pytest

from benchmarks.compare import in_turns
from benchmarks.contenders import Contender, Took
from benchmarks.results import Series
from benchmarks.stage import Stage
from labkit.errors import InfrastructureError


def test_each_has_its_turn_in_every_round(green: Path) -> None:
    """One after the other, and all of them before anybody comes again; times stay theirs."""
    turns: list[str] = []
    places: set[Path] = set()

    def contender(name: str, cells_s: float | None) -> Contender:
        async def execute(place: Stage) -> Took:
            turns.append(name)
            places.add(place.root)
            assert list(place.outputs.iterdir()) == []
            (place.outputs / "done").touch()
            return Took(float(len(turns)), cells_s, (0.25,) if cells_s else ())

        return Contender(name, execute)

    told: list[str] = []
    contenders = [contender("a", 0.5), contender("b", None)]
    compared = asyncio.run(
        in_turns(contenders, [green], rounds=2, environment=os.environ, tell=told.append)
    )
    assert (turns, len(places)) == (["a", "b", "a", "b"], 4)
    assert compared.notebooks == 1
    assert compared.contenders == (
        Series("a", (1.0, 3.0), (0.5, 0.5), (0.25, 0.25)),
        Series("b", (2.0, 4.0)),
    )
    assert told[1] == "round 1: 2.00 s  b"


def test_one_that_fails_ends_the_comparison(green: Path) -> None:
    """There is no result without one of its contenders."""

    async def fail(_place: Stage) -> Took:
        raise InfrastructureError("it fell")

    with pytest.raises(InfrastructureError, match="it fell"):
        asyncio.run(
            in_turns([Contender("a", fail)], [green], rounds=1, environment=os.environ, tell=print)
        )
