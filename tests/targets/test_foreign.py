"""Other people's platforms on a committed notebook: what they have is tested, the rest is told."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from labkit.notebook import read_notebook
from labkit.records import Outcome
from labkit.reports.results import CheckResult
from labkit.services.endpoints import Services
from labkit.targets.loading import declared_gap, part_of
from tests.batch.runs import check, notebook, passing, run, variables
from tests.targets.chat import Chat, Shouting
from tests.targets.notepad import Boastful, Evasive, Notepad

NOTEBOOKS: Final = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
DATABASE: Final = next(path for path in NOTEBOOKS if path.stem == "database_transactions")
BOUNDARIES: Final = "data_consistency_across_user_boundaries"


def checks_of(
    services: Services, root: Path, target: type[Notepad | Chat], path: Path = DATABASE
) -> dict[str, CheckResult]:
    """How each check of a notebook ends on a target."""
    spec = f"{target.__module__}:{target.__name__}"
    ran = run(root, path, environment=variables(services), texts=(("target", spec),))
    return {one.name: one for one in ran.notebook(path.stem).checks}


def outcomes(checks: dict[str, CheckResult]) -> dict[str, str]:
    """Outcome and reason of each check."""
    return {name: f"{one.outcome} {one.reason}".strip() for name, one in checks.items()}


@pytest.fixture(scope="module")
def on_notepad(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, CheckResult]]:
    """The checks of every committed notebook on an honest platform with a part of area 4."""
    spec = f"{Notepad.__module__}:{Notepad.__name__}"
    root = tmp_path_factory.mktemp("run")
    ran = run(root, *NOTEBOOKS, environment=variables(services), texts=(("target", spec),))
    assert [book.problems for book in ran.result.notebooks] == [()] * len(NOTEBOOKS)
    return {book.name: {one.name: one for one in book.checks} for book in ran.result.notebooks}


def test_a_small_honest_platform_passes_what_it_has(
    on_notepad: dict[str, dict[str, CheckResult]],
) -> None:
    """Its transactions, pool and users are tested; money and executions are skipped."""
    found = on_notepad[DATABASE.stem]
    assert outcomes(found) == {
        "acid_transaction_rollback_on_error": "passed",
        "concurrent_database_operations_isolation": "skipped lacks-tables.accounts",
        "database_connection_pooling_and_session_management": "passed",
        BOUNDARIES: "passed",
        "agent_execution_data_persistence": "skipped lacks-data.start_execution",
    }
    lacking = found["agent_execution_data_persistence"]
    assert lacking.detail == "the target lacks data.start_execution: nothing is executed"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_it_cannot_run_is_known_before(
    on_notepad: dict[str, dict[str, CheckResult]], path: Path
) -> None:
    """Where a check's source needs what is lacking it is skipped, and only there.

    Broken, where it claims isolation in a part that the platform has. What a check touched is what
    its source says, as far as it came.
    """
    for declared in read_notebook(path).checks:
        found = on_notepad[path.stem][declared.name]
        gap = declared_gap(Notepad, declared.needs)
        expected = Outcome.PASSED if gap is None else Outcome.SKIPPED
        if gap is not None and declared.isolation and part_of(gap[0]) == "data":
            expected = Outcome.BROKEN
            assert found.reason == "isolation-not-skippable"
        assert (found.name, found.outcome) == (declared.name, expected)
        parts = {part_of(need) for need in declared.needs}
        assert found.needs
        assert set(found.needs) <= {*declared.needs, *parts}


def test_a_boast_is_broken(services: Services, tmp_path: Path) -> None:
    """Lacking what it does not declare breaks the check that needs it; the others still pass."""
    found = checks_of(services, tmp_path, Boastful)
    broken = found["agent_execution_data_persistence"]
    assert (broken.outcome, broken.reason) == (Outcome.BROKEN, "exception")
    assert "NotDeclared: target notepad lacks data.start_execution" in broken.detail
    assert "name data.start_execution in the target's `lacks`" in broken.detail
    assert found[BOUNDARIES].outcome is Outcome.PASSED


def test_isolation_cannot_be_declared_away(services: Services, tmp_path: Path) -> None:
    """A platform that has users and data is not excused from keeping them apart."""
    found = outcomes(checks_of(services, tmp_path, Evasive))
    assert found.pop(BOUNDARIES) == "broken isolation-not-skippable"
    assert found.pop("concurrent_database_operations_isolation") == "skipped lacks-tables.accounts"
    assert set(found.values()) == {"skipped lacks-data"}


AREAS: Final = {
    "pipeline": "lab.pipeline.run",
    "lifecycle": "lab.lifecycle.create",
    "notifications": "lab.notifications.attach",
    "sockets": "lab.connect('ann').__aenter__",
    "contexts": "lab.contexts.open",
    "cache": "lab.cache.read",
    "configuration": "lab.configuration.load",
    "routing": "lab.routing.send",
}
"""How a check touches each part that the notepad does not have."""


@pytest.mark.parametrize("target", [Notepad, Boastful])
def test_whole_areas_that_are_not_there(
    services: Services, tmp_path: Path, target: type[Notepad]
) -> None:
    """Declared, they skip with the reason, isolation too; not declared, they break the check."""
    cells = [check(f"uses_{part}", f"await {touch}()") for part, touch in AREAS.items()]
    cells.append(check("tables", "await lab.witness.count(lab.tables.stages)"))
    path = notebook(tmp_path / "area.ipynb", *cells, passing("passing"))
    found = checks_of(services, tmp_path, target, path)
    assert found.pop("passing").outcome is Outcome.PASSED
    assert found.pop("tables").detail == (
        "the target lacks tables.stages: the target has no table for stages"
    )
    for part in AREAS:
        one = found.pop(f"uses_{part}")
        if target is Notepad:
            assert (one.outcome, one.reason) == (Outcome.SKIPPED, f"lacks-{part}")
        else:
            assert one.outcome is Outcome.BROKEN
            assert f"lacks {part} but does not declare it" in one.detail
    assert found == {}


SPEAKS: Final = """
from labkit.events import CRITICAL
from labkit.targets.notifications import NoticeKind

async with lab.connect("ann") as socket:
    welcome = await socket.notice(NoticeKind.WELCOME)
    await socket.send(lab.sockets.message("general", "lookup it", message="m1"))
    accepted = await socket.notice(NoticeKind.ACCEPTED, message="m1")
    events = await socket.events(accepted.run)
    seen = list(dict.fromkeys(event.type for event in events))
    check.equal(seen, list(CRITICAL), "kinds of events", reason="missing-event")
    order = [event.seq for event in events]
    check.equal(order, list(range(len(events))), "their order", reason="gap-in-seq")
    check.at_least(await socket.ping(), 0, "ms for a ping", reason="no-pong")
    await socket.send(lab.sockets.resume(accepted.run, 3))
    await socket.notice(NoticeKind.RESUMED, run=accepted.run)
    again = [one.says.seq for one in socket.heard_of(accepted.run)][len(events):]
    check.equal(again, [4, 5], "what is replayed", reason="wrong-replay")
"""
APART: Final = """
from dataclasses import replace
from labkit.redaction import Secret
from labkit.sockets import Login
from labkit.targets.notifications import NoticeKind

first, second = await lab.sockets.doors()
async with (
    lab.connect("ann", door=first) as ann,
    lab.connect("ann", door=second, login=Login.FIRST_FRAME) as other,
    lab.connect("bob", door=second) as bob,
):
    for socket in (ann, other, bob):
        await socket.notice(NoticeKind.WELCOME)
    await ann.send(lab.sockets.message("general", "lookup it", message="m1"))
    run = (await ann.notice(NoticeKind.ACCEPTED)).run
    for label, socket in (("first", ann), ("second", other)):
        check.equal(len(await socket.events(run)), 6, f"on the {label} one", reason="missing-event")
    await bob.send(lab.sockets.resume(run, None))
    refused = await bob.notice(NoticeKind.REFUSED, run=run)
    check.equal(refused is not None, True, "bob is refused", reason="foreign-run-told")
    check.equal(bob.heard_of(run), (), "what bob hears of it", reason="leaked-event")
async with lab.connect("ann", token=Secret("ann:forged")) as forged:
    closed = await forged.closed()
    check.equal(closed.code, 1008, "the close code", reason="forged-token-taken")
"""
SOCKETS_AREA: Final = (
    check("speaks", SPEAKS),
    check("apart", APART),
    check("leaves", 'left = lab.connect("ann")\nsocket = await left.__aenter__()'),
    check("quality", 'lab.sockets.quality({}, message="m")'),
    check("data", 'await lab.data.create_user("ann")'),
)


@pytest.mark.parametrize(("target", "apart"), [(Chat, "passed"), (Shouting, "failed leaked-event")])
def test_a_platform_with_a_dialect_of_its_own(
    services: Services, tmp_path: Path, target: type[Chat], apart: str
) -> None:
    """The lab's own sockets follow what a target tells of its dialect, and see who hears what.

    A socket is its check's own: one that is left open is a leak.
    """
    path = notebook(tmp_path / "area.ipynb", *SOCKETS_AREA)
    found = checks_of(services, tmp_path, target, path)
    assert outcomes(found) == {
        "speaks": "passed",
        "apart": apart,
        "leaves": "broken leaked-task",
        "quality": "skipped lacks-sockets.quality",
        "data": "skipped lacks-data",
    }
    assert found["data"].detail == "the target lacks data: it only chats"
    assert {"sockets.doors", "sockets.token", "sockets.read"} <= set(found["apart"].needs)
