"""The database notebook is green on the reference platform and finds each part that is faulty."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nbformat
import papermill
import pytest
import yaml
from papermill.exceptions import PapermillExecutionError

from labkit.batch.execution import Ended, Execution
from labkit.batch.kernels import KernelPlace
from labkit.journal import Ending
from labkit.notebook import read_notebook
from labkit.records import CheckRecord, CheckStarted, Outcome, Record
from labkit.redaction import Redactor
from labkit.reference import Platform
from labkit.services.endpoints import Services
from labkit.services.given import POSTGRES_URL, REDIS_URL
from tests import saboteurs

ROOT: Final = Path(__file__).parents[2]
NOTEBOOK: Final = ROOT / "notebooks" / "database_transactions.ipynb"
PARAMS: Final = ROOT / "params" / "test.yaml"

ACID: Final = "acid_transaction_rollback_on_error"
CONCURRENCY: Final = "concurrent_database_operations_isolation"
POOL: Final = "database_connection_pooling_and_session_management"
BOUNDARIES: Final = "data_consistency_across_user_boundaries"
EXECUTIONS: Final = "agent_execution_data_persistence"

CAUGHT: Final[Mapping[type[Platform], Mapping[str, str]]] = {
    saboteurs.CommitsEachStatement: {
        ACID: "partial-write",
        CONCURRENCY: "isolation-level-differs",
    },
    saboteurs.CommitsOnError: {ACID: "partial-write", CONCURRENCY: "isolation-level-differs"},
    saboteurs.AcknowledgesTooEarly: {ACID: "lost-commit"},
    saboteurs.TransfersAtReadCommitted: {CONCURRENCY: "total-changed"},
    saboteurs.RepeatsTheLastStatement: {CONCURRENCY: "total-changed"},
    saboteurs.AlwaysReadCommitted: {CONCURRENCY: "isolation-level-differs"},
    saboteurs.AlwaysRepeatableRead: {CONCURRENCY: "isolation-level-differs"},
    saboteurs.AlwaysSerializable: {CONCURRENCY: "isolation-level-differs"},
    saboteurs.LeaksOnCancel: {POOL: "connection-leaked"},
    saboteurs.GrowsPastItsBound: {POOL: "pool-outgrown"},
    saboteurs.WithoutRowLevelSecurity: {BOUNDARIES: "foreign-row-read"},
    saboteurs.WritesUnchecked: {BOUNDARIES: "foreign-write-accepted"},
    saboteurs.ForeignKeyOnTheIdAlone: {BOUNDARIES: "foreign-write-accepted"},
    saboteurs.FlattensJson: {EXECUTIONS: "json-flattened"},
    saboteurs.LinkNotEnforced: {EXECUTIONS: "link-not-enforced"},
}
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


def execute(target: type[Platform], variables: Mapping[str, str], **parameters: object) -> Executed:
    """The notebook's execution by papermill, in a kernel that takes its lease itself."""
    listener = Listener()
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        place = KernelPlace(Path(folder), variables, ROOT)
        execution = Execution(place, listener, redactor=Redactor(), deadline_s=120)
        with contextlib.suppress(PapermillExecutionError):  # a red notebook raises its verdict
            papermill.execute_notebook(
                NOTEBOOK,
                Path(folder) / "executed.ipynb",
                {**parameters, "target": f"{target.__module__}:{target.__name__}"},
                engine_name="labkit",
                progress_bar=False,
                execution=execution,
            )
    return Executed(execution.ended, tuple(listener.checks))


@pytest.fixture(scope="module")
def variables(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of kernels on the tests' servers."""
    return {
        **os.environ,
        POSTGRES_URL: services.postgres.url.reveal(),
        REDIS_URL: services.redis.url.reveal(),
        "LABKIT_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
    }


@pytest.fixture(scope="module")
def executions(
    variables: Mapping[str, str],
) -> Iterator[Mapping[type[Platform], Future[Executed]]]:
    """One execution for each target, several at a time."""
    targets: list[type[Platform]] = [Platform, *CAUGHT]
    with ThreadPoolExecutor(3) as pool:
        yield {target: pool.submit(execute, target, variables) for target in targets}
        pool.shutdown(cancel_futures=True)


def test_reference_platform_passes_every_check(
    executions: Mapping[type[Platform], Future[Executed]],
) -> None:
    """All declared checks pass where nothing is wrong, each once and with something compared."""
    executed = executions[Platform].result()
    assert executed.not_passed == {}
    assert executed.ended == Ended(Ending.REACHED_THE_END)
    assert [check.name for check in executed.checks] == declared()
    assert all(check.expectations for check in executed.checks)


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_reference_platform_passes_with_the_sizes_of_other_environments(
    variables: Mapping[str, str], environment: str
) -> None:
    """What `params/` holds for an environment is a run that can be green."""
    given = yaml.safe_load(PARAMS.with_name(f"{environment}.yaml").read_text())
    own = {one.name for one in read_notebook(NOTEBOOK).parameters}
    parameters = {name: value for name, value in given.items() if name in own}
    executed = execute(Platform, variables, **parameters)
    assert executed.not_passed == {}
    assert executed.ended == Ended(Ending.REACHED_THE_END)


@pytest.mark.parametrize("saboteur", CAUGHT)
def test_faulty_part_turns_red_what_it_concerns(
    executions: Mapping[type[Platform], Future[Executed]], saboteur: type[Platform]
) -> None:
    """The checks concerned fail for the expected reason; no other check is anything but passed."""
    executed = executions[saboteur].result()
    expected = {name: (Outcome.FAILED, reason) for name, reason in CAUGHT[saboteur].items()}
    assert executed.not_passed == expected
    assert executed.ended == Ended(Ending.REACHED_THE_END)
    assert [check.name for check in executed.checks] == declared()


def test_no_saboteur_and_no_check_is_left_out() -> None:
    """Every saboteur is tried, and every check is seen to fail."""
    found = [one for one in vars(saboteurs).values() if isinstance(one, type)]
    assert set(CAUGHT) == {one for one in found if issubclass(one, Platform)} - {Platform}
    assert {check for caught in CAUGHT.values() for check in caught} == set(declared())


def test_committed_notebook_is_clean() -> None:
    """It has no outputs and no execution counts, and nothing that a run has left behind."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells if cell.outputs] == []
    assert {cell.execution_count for cell in cells} == {None}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert {key for cell in notebook.cells for key in cell.metadata} <= {"tags"}


def test_defaults_are_those_of_the_test_environment() -> None:
    """Without parameters the notebook runs as it does with `params/test.yaml`."""
    defaults = {one.name: one.default for one in read_notebook(NOTEBOOK).parameters}
    assert defaults.pop("target") == "labkit.reference:Platform"
    given = yaml.safe_load(PARAMS.read_text())
    assert defaults == {name: given[name] for name in defaults}


def declared() -> list[str]:
    """The names of the checks that the notebook's source declares."""
    return [check.name for check in read_notebook(NOTEBOOK).checks]
