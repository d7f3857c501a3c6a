"""What the tests of the notebooks share: an execution by papermill, and how its checks ended."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from labkit.batch.execution import Ended, Execution
from labkit.batch.kernels import KernelPlace
from labkit.journal import Ending
from labkit.json_values import JsonValue
from labkit.notebook import read_notebook
from labkit.records import CheckRecord, CheckStarted, Outcome, Record
from labkit.redaction import Redactor
from labkit.reference import Platform

ROOT: Final = Path(__file__).parents[2]

Caught: TypeAlias = Mapping[type[Platform], Mapping[str, str]]
"""Which checks a saboteur turns red, and the reason code that each gives; all others pass."""


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
            with contextlib.suppress(PapermillExecutionError):  # a red notebook raises its verdict
                papermill.execute_notebook(
                    self.path,
                    Path(folder) / "executed.ipynb",
                    {**parameters, "target": f"{target.__module__}:{target.__name__}"},
                    engine_name="labkit",
                    progress_bar=False,
                    execution=execution,
                )
        return Executed(execution.ended, tuple(listener.checks))

    @contextlib.contextmanager
    def executions(
        self, targets: list[type[Platform]]
    ) -> Iterator[Mapping[type[Platform], Future[Executed]]]:
        """One execution for each target, several at a time."""
        with ThreadPoolExecutor(3) as pool:
            yield {target: pool.submit(self.execute, target, {}) for target in targets}
            pool.shutdown(cancel_futures=True)


def notebook_path(area: str) -> Path:
    """Where the notebook of an area lies."""
    return ROOT / "notebooks" / f"{area}.ipynb"


def declared(path: Path) -> list[str]:
    """The names of the checks that the notebook's source declares."""
    return [check.name for check in read_notebook(path).checks]


def assert_green(executed: Executed, path: Path) -> None:
    """All declared checks passed, each once and with something compared."""
    assert executed.not_passed == {}, executed.details
    assert executed.ended == Ended(Ending.REACHED_THE_END)
    assert [check.name for check in executed.checks] == declared(path)
    assert all(check.expectations for check in executed.checks)


def assert_red(executed: Executed, path: Path, caught: Mapping[str, str]) -> None:
    """These checks failed for their reasons; no other check is anything but passed."""
    expected = {name: (Outcome.FAILED, reason) for name, reason in caught.items()}
    assert executed.not_passed == expected, executed.details
    assert executed.ended == Ended(Ending.REACHED_THE_END)
    assert [check.name for check in executed.checks] == declared(path)


def assert_complete(
    saboteurs: ModuleType, path: Path, caught: Mapping[type[Platform], Mapping[str, str]]
) -> None:
    """Every saboteur of the module is tried, and every check is seen to fail."""
    found = {one for one in vars(saboteurs).values() if isinstance(one, type)}
    own = {one for one in found if issubclass(one, Platform)} - {Platform}
    assert set(caught) == own
    assert {check for reasons in caught.values() for check in reasons} == set(declared(path))


def assert_clean(path: Path) -> None:
    """It has no outputs and no execution counts, and nothing that a run has left behind."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells if cell.outputs] == []
    assert {cell.execution_count for cell in cells} == {None}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert {key for cell in notebook.cells for key in cell.metadata} <= {"tags"}


def given(path: Path, environment: str) -> dict[str, JsonValue]:
    """What `params/` holds for an environment and this notebook declares."""
    values = yaml.safe_load((ROOT / "params" / f"{environment}.yaml").read_text())
    own = {one.name for one in read_notebook(path).parameters}
    return {name: value for name, value in values.items() if name in own}


def defaults(path: Path) -> dict[str, JsonValue]:
    """What the notebook says by itself, apart from the target."""
    return {one.name: one.default for one in read_notebook(path).parameters if one.name != "target"}
