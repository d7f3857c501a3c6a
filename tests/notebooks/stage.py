"""What the tests of the notebooks share: an execution by papermill, and how its checks ended."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from labkit.batch.execution import Ended, Execution
from labkit.batch.kernels import KernelPlace
from labkit.json_values import JsonValue
from labkit.records import CheckRecord, CheckStarted, Outcome, Record
from labkit.redaction import Redactor
from labkit.reference import Platform

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Executed:
    """How an execution ended, and its checks."""

    ended: Ended | None
    checks: tuple[CheckRecord, ...]

    @property
    def not_passed(self) -> dict[str, tuple[Outcome, str]]:
        """Outcome and reason of each check that did not pass."""
        passed = Outcome.PASSED
        return {one.name: (one.outcome, one.reason) for one in self.checks if one.outcome != passed}

    @property
    def details(self) -> str:
        """What is told of the checks that did not pass, for who reads a failed test."""
        return "\n".join(f"{one.name}: {one.detail}" for one in self.checks if one.detail)


class Listener:
    """Keeps the checks that it hears of."""

    def __init__(self) -> None:
        self.checks: list[CheckRecord] = []

    def heard(self, record: Record) -> None:
        """Keep what a check ended with."""
        if isinstance(record, CheckRecord):
            self.checks.append(record)

    def killed(self, check: CheckStarted) -> None:
        """A check that resists its deadline shows in how the execution ended."""


@dataclass(frozen=True)
class Notebook:
    """One of the project's notebooks, executed in kernels with this environment."""

    path: Path
    variables: Mapping[str, str]

    def execute(self, target: type[Platform], parameters: Mapping[str, JsonValue]) -> Executed:
        """Its execution by papermill, in a kernel that takes its lease itself."""
        listener = Listener()
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            place = KernelPlace(Path(folder), self.variables, ROOT)
            execution = Execution(place, listener, redactor=Redactor(), deadline_s=120)
            # A red notebook raises its verdict, and one whose kernel is gone how that ended.
            with contextlib.suppress(PapermillExecutionError, DeadKernelError):
                papermill.execute_notebook(
                    self.path,
                    Path(folder) / "executed.ipynb",
                    {**parameters, "target": f"{target.__module__}:{target.__name__}"},
                    engine_name="labkit",
                    progress_bar=False,
                    execution=execution,
                )
        return Executed(execution.ended, tuple(listener.checks))


def notebook_path(area: str) -> Path:
    """Where the notebook of an area lies."""
    return ROOT / "notebooks" / f"{area}.ipynb"
