"""One notebook to be executed: what whoever does it is given, and what comes of it.

Both are plain data that can be pickled, so that any `concurrent.futures.Executor` on this machine
can do it, in threads or in processes. What is heard meanwhile goes over a wire.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from labkit.batch.execution import Ended, Execution
from labkit.batch.kernels import KernelPlace
from labkit.batch.wire import far_end
from labkit.errors import KernelUnavailable
from labkit.journal import Spent
from labkit.json_values import JsonValue
from labkit.redaction import Redactor


@dataclass(frozen=True)
class Assignment:
    """What is to be executed, and how."""

    source: Path
    output: Path
    """Where the executed notebook is written."""
    parameters: Mapping[str, JsonValue]
    place: KernelPlace
    redactor: Redactor
    deadline_s: float
    """For the whole notebook."""
    grace_s: float
    """How long a kernel may take to give way."""
    wire: Path
    """Where the run listens."""


@dataclass(frozen=True)
class Performed:
    """How it went; the notebook tells the rest."""

    ended: Ended
    spent: tuple[Spent, ...]


def perform(assignment: Assignment) -> Performed:
    """Execute a notebook by papermill; how it ended is told, whatever raised.

    Raises `KernelUnavailable` where papermill does not know the engine.
    """
    with far_end(assignment.wire) as far:
        execution = Execution(
            assignment.place,
            far,
            redactor=assignment.redactor,
            deadline_s=assignment.deadline_s,
            grace_s=assignment.grace_s,
        )
        # It waits for orders, and ends with the wire.
        threading.Thread(target=far.obey, args=(execution,), daemon=True).start()
        _papermill(assignment, execution)
    if execution.ended is None:
        text = "the engine labkit was not used; install the distribution that brings it"
        raise KernelUnavailable(text)
    return Performed(execution.ended, execution.stopwatch.spent)


def _papermill(assignment: Assignment, execution: Execution) -> None:
    with contextlib.suppress(PapermillExecutionError, DeadKernelError, KernelUnavailable):
        papermill.execute_notebook(
            _literally(assignment.source),
            _literally(assignment.output),
            dict(assignment.parameters),
            engine_name="labkit",
            kernel_name="python3",  # the engine takes this interpreter's, whatever it is called
            language="python",
            progress_bar=False,
            execution=execution,
        )


def _literally(path: Path) -> str:
    """The path for papermill, which would fill in parameters at its braces."""
    return str(path).replace("{", "{{").replace("}", "}}")
