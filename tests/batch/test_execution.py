"""An early end can be asked for at any time, from any thread, and the first reason counts."""

from pathlib import Path

from labkit.batch.execution import Execution
from labkit.batch.kernels import KernelPlace
from labkit.journal import Ending
from labkit.redaction import Redactor
from tests.batch.runs import Nobody


def execution() -> Execution:
    """An execution that nobody watches."""
    place = KernelPlace(Path(), {}, Path())
    return Execution(place, Nobody(), redactor=Redactor(()))


def test_a_stop_reaches_the_engine_that_listens() -> None:
    """Each request goes to it; which of them counts is for the engine to say."""
    asked: list[Ending] = []
    listened = execution()
    listened.on_stop(asked.append)
    assert asked == []
    listened.stop(Ending.CANCELLED)
    assert asked == [Ending.CANCELLED]


def test_a_stop_that_came_first_is_not_lost() -> None:
    """The engine that starts to listen afterwards is told at once, with the first reason."""
    asked: list[Ending] = []
    stopped = execution()
    stopped.stop(Ending.DEADLINE)
    stopped.stop(Ending.CANCELLED)
    stopped.on_stop(asked.append)
    assert asked == [Ending.DEADLINE]
