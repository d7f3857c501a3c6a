"""The database notebook is green on the reference platform and finds each part that is faulty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Final

import pytest

from labkit.reference import Platform
from tests import saboteurs
from tests.notebooks.stage import (
    Executed,
    Notebook,
    assert_clean,
    assert_complete,
    assert_green,
    assert_red,
    defaults,
    given,
    notebook_path,
)

NOTEBOOK: Final = notebook_path("database_transactions")

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


@pytest.fixture(scope="module")
def notebook(variables: Mapping[str, str]) -> Notebook:
    """The notebook, on the tests' servers."""
    return Notebook(NOTEBOOK, variables)


@pytest.fixture(scope="module")
def executions(notebook: Notebook) -> Iterator[Mapping[type[Platform], Future[Executed]]]:
    """One execution for each target."""
    with notebook.executions([Platform, *CAUGHT]) as executions:
        yield executions


def test_reference_platform_passes_every_check(
    executions: Mapping[type[Platform], Future[Executed]],
) -> None:
    """All declared checks pass where nothing is wrong, each once and with something compared."""
    assert_green(executions[Platform].result(), NOTEBOOK)


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_reference_platform_passes_with_the_sizes_of_other_environments(
    notebook: Notebook, environment: str
) -> None:
    """What `params/` holds for an environment is a run that can be green."""
    assert_green(notebook.execute(Platform, given(NOTEBOOK, environment)), NOTEBOOK)


@pytest.mark.parametrize("saboteur", CAUGHT)
def test_faulty_part_turns_red_what_it_concerns(
    executions: Mapping[type[Platform], Future[Executed]], saboteur: type[Platform]
) -> None:
    """The checks concerned fail for the expected reason; no other check is anything but passed."""
    assert_red(executions[saboteur].result(), NOTEBOOK, CAUGHT[saboteur])


def test_no_saboteur_and_no_check_is_left_out() -> None:
    """Every saboteur is tried, and every check is seen to fail."""
    assert_complete(saboteurs, NOTEBOOK, CAUGHT)


def test_committed_notebook_is_clean() -> None:
    """It has no outputs and no execution counts, and nothing that a run has left behind."""
    assert_clean(NOTEBOOK)


def test_defaults_are_those_of_the_test_environment() -> None:
    """Without parameters the notebook runs as it does with `params/test.yaml`."""
    assert defaults(NOTEBOOK) == given(NOTEBOOK, "test")
