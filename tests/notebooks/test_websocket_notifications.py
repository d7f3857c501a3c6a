"""The notifications notebook is green on the reference platform and finds each faulty part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Final

import pytest

from labkit.reference import Platform
from tests import saboteurs_notifications as saboteurs
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

NOTEBOOK: Final = notebook_path("websocket_notifications")

FIVE: Final = "agent_websocket_events_all_five_critical_events"
ISOLATION: Final = "websocket_user_isolation_concurrent_sessions"
ERRORS: Final = "websocket_connection_error_handling"
QUALITY: Final = "quality_message_router_integration"
ORDERING: Final = "websocket_event_ordering_and_timing"

CAUGHT: Final[Mapping[type[Platform], Mapping[str, str]]] = {
    saboteurs.KindDropped: {FIVE: "gap", ISOLATION: "gap", ERRORS: "gap", ORDERING: "gap"},
    saboteurs.KindTwice: dict.fromkeys((FIVE, ERRORS, ORDERING), "duplicate-event"),
    saboteurs.WrongThread: dict.fromkeys((FIVE, ERRORS, ORDERING), "foreign-event"),
    saboteurs.Broadcast: {ISOLATION: "leak", QUALITY: "foreign-event"},
    saboteurs.AnyToken: {ISOLATION: "token-not-refused"},
    saboteurs.OwnProcessOnly: {ISOLATION: "missing-event"},
    saboteurs.NoReplay: {ERRORS: "missing-event"},
    saboteurs.ReplayFromTheStart: {ERRORS: "duplicate-event"},
    saboteurs.SlowReaderBlocks: {ERRORS: "held-up"},
    saboteurs.RoutesSwapped: {QUALITY: "wrong-route"},
    saboteurs.PayloadCut: {QUALITY: "payload-changed"},
    saboteurs.TwoSwapped: dict.fromkeys((FIVE, ERRORS, ORDERING), "out-of-order"),
    saboteurs.GapInSeq: {ERRORS: "gap", ORDERING: "gap"},
    saboteurs.WrongClock: {FIVE: "clock-wrong", ORDERING: "clock-wrong"},
}
"""Which checks a saboteur turns red, and the reason code that each gives; all others pass.

Whole runs are judged in four of the five checks, so that some faults show in several of them.
"""


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


@pytest.mark.parametrize("saboteur", CAUGHT)
def test_faulty_part_turns_red_what_it_concerns(
    executions: Mapping[type[Platform], Future[Executed]], saboteur: type[Platform]
) -> None:
    """The checks concerned fail for the expected reason; no other check is anything but passed."""
    assert_red(executions[saboteur].result(), NOTEBOOK, CAUGHT[saboteur])


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_reference_platform_passes_with_the_sizes_of_other_environments(
    notebook: Notebook, environment: str
) -> None:
    """What `params/` holds for an environment is a run that can be green."""
    assert_green(notebook.execute(Platform, given(NOTEBOOK, environment)), NOTEBOOK)


def test_no_saboteur_and_no_check_is_left_out() -> None:
    """Every saboteur is tried, and every check is seen to fail."""
    assert_complete(saboteurs, NOTEBOOK, CAUGHT)


def test_committed_notebook_is_clean() -> None:
    """It has no outputs and no execution counts, and nothing that a run has left behind."""
    assert_clean(NOTEBOOK)


def test_defaults_are_those_of_the_test_environment() -> None:
    """Without parameters the notebook runs as it does with `params/test.yaml`."""
    assert defaults(NOTEBOOK) == given(NOTEBOOK, "test")
