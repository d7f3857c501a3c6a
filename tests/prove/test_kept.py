"""What a project keeps of its proofs adds up, as long as the notebook stays what it was."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from labkit.errors import InfrastructureError, UsageError
from labkit.notebook import NotebookSource
from labkit.prove import kept as module
from labkit.prove.kept import (
    Kept,
    Proven,
    keep_proof,
    known_catches,
    merged,
    read_kept,
    write_kept,
)
from tests.prove.proofs import CLEAN, LOST, PASSED, Ends, matrix, proof
from tests.prove.test_trials import plan

FORGOTTEN: Ends = {"keeps": LOST, "counts": PASSED}
MISSED: Ends = {"keeps": PASSED, "counts": PASSED}
FIRST = Kept(
    platform="some:Platform",
    notebook="memory",
    check="keeps",
    sabotage="forgets",
    fault="forgets is at fault.",
    caught=2,
    trials=2,
    shown_at=1.0,
    labkit="0.0.9",
    source="abc",
)


SOURCE = NotebookSource(
    path=Path("memory.ipynb"),
    name="memory",
    title="Memory",
    business_value=None,
    parameters=(),
    checks=(),
    digest="abc",
)


def proven(*trials: Ends, source: NotebookSource = SOURCE) -> Proven:
    """A proof of these trials against one sabotage."""
    run = proof({"": [CLEAN], "forgets": trials})
    return Proven("some:Platform", run, matrix(run), {"memory": source})


def after(before: tuple[Kept, ...], *trials: Ends, source: str = "abc") -> dict[str, Kept]:
    """What is kept after a proof of these trials against one sabotage, by sabotage."""
    made = proven(*trials, source=replace(SOURCE, digest=source))
    return {one.sabotage: one for one in merged(before, made)}


def test_first_proof_is_kept() -> None:
    """Who caught what, how often, when, and with which versions."""
    [kept] = after((), FORGOTTEN).values()
    assert kept == replace(FIRST, caught=1, trials=1, shown_at=1_772_719_402.0, labkit="0.1.0")


def test_trials_of_the_same_notebook_add_up() -> None:
    """A miss counts as a trial, and is not forgotten."""
    kept = after((FIRST,), FORGOTTEN, MISSED)["forgets"]
    assert (kept.caught, kept.trials, kept.labkit) == (3, 4, "0.1.0")


def test_changed_notebook_begins_anew() -> None:
    """What its former self caught is not its own."""
    kept = after((FIRST,), FORGOTTEN, source="other")["forgets"]
    assert (kept.caught, kept.trials, kept.source) == (1, 1, "other")


def test_what_was_never_caught_is_not_known_to_be() -> None:
    """A check that misses a sabotage has no line for it."""
    assert after((), MISSED) == {}
    assert after((FIRST,), MISSED, source="other") == {}


def test_another_platforms_fault_of_the_same_name_is_another() -> None:
    """What was tried of the one tells nothing of the other."""
    other = replace(FIRST, platform="other:Platform")
    kept = merged((other,), proven(FORGOTTEN))
    assert [(one.platform, one.trials) for one in kept] == [
        ("other:Platform", 2),
        ("some:Platform", 1),
    ]


def test_catch_is_kept_under_the_notebooks_own_name() -> None:
    """A run may need another for its files, and another run yet another."""
    own = replace(SOURCE, name="my memory")
    [kept] = merged((), proven(FORGOTTEN, source=own))
    assert kept.notebook == "my memory"


def test_notebook_that_is_not_the_projects_own_is_not_kept() -> None:
    """It may have the name of one that is."""
    foreign = replace(proven(FORGOTTEN), notebooks={})
    assert merged((FIRST,), foreign) == (FIRST,)


def test_what_was_not_tried_stays() -> None:
    """A proof of one area forgets nothing of the others."""
    other = replace(FIRST, notebook="elsewhere", sabotage="other")
    assert after((other,), FORGOTTEN)["other"] == other


def test_kept_catches_come_back_from_the_file(tmp_path: Path) -> None:
    """In an order of its own, a line each; without a file there are none."""
    path = tmp_path / "proven.json"
    assert read_kept(path) == ()
    second = replace(FIRST, sabotage="alpha")
    write_kept(path, [FIRST, second])
    assert read_kept(path) == (second, FIRST)
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("text", ["{", "3", '[{"check": "keeps"}]', "[" * 200_000])
def test_file_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    """It is named, with what to do."""
    path = tmp_path / "proven.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"proven\.json is not what a proof keeps .*; remove it"):
        read_kept(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    """A pipe too, at whose end nobody may ever write."""
    make(tmp_path / "proven.json")
    with pytest.raises(UsageError, match=r"\(it is no regular file\); remove it"):
        read_kept(tmp_path / "proven.json")


@pytest.mark.parametrize(("ends", "caught"), [(FORGOTTEN, True), (MISSED, False)])
def test_proof_says_whether_it_caught_anything(ends: Ends, tmp_path: Path, *, caught: bool) -> None:
    """What the clean platform did, or what was missed, is no catch."""
    assert keep_proof(tmp_path / "proven.json", proven(ends)) is caught


def test_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The proof is not lost by it, and what was kept before stays."""
    path = tmp_path / "nowhere" / "proven.json"
    with pytest.raises(InfrastructureError, match=r"No such file .*; the proof itself is done"):
        keep_proof(path, proven(FORGOTTEN))


PROOFS: Final = 25
AT_ONCE: Final = f"""
import sys
from pathlib import Path
from labkit.prove import kept as module
from labkit.prove.kept import keep_proof
from tests.prove.test_kept import FORGOTTEN, proven

module._PATIENCE_S = 60  # turns are not dealt out fairly
made = proven(FORGOTTEN)
print("ready", flush=True)
sys.stdin.readline()
for _ in range({PROOFS}):
    keep_proof(Path(sys.argv[1]), made)
"""


def test_proofs_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two processes keep the same catches again and again: all of their trials are counted."""
    path = tmp_path / "proven.json"
    command = [sys.executable, "-c", AT_ONCE, str(path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    [kept] = read_kept(path)
    assert (kept.caught, kept.trials) == (2 * PROOFS, 2 * PROOFS)
    assert [one.name for one in tmp_path.iterdir()] == ["proven.json"]


def test_turn_that_never_comes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for others has an end; what one that was killed left is removed later."""
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    made = proven(FORGOTTEN)
    (tmp_path / ".proven.json.1.part").write_text("[")
    holder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(InfrastructureError, match="another process has held"):
            keep_proof(tmp_path / "proven.json", made)
    finally:
        os.close(holder)
    keep_proof(tmp_path / "proven.json", made)
    assert [one.name for one in tmp_path.iterdir()] == ["proven.json"]


def test_run_knows_what_its_own_checks_caught(tmp_path: Path) -> None:
    """Whether with the notebook as it is now; of other notebooks and checks it tells nothing."""
    made = plan(tmp_path, **{"my memory": ["keeps", "counts"]})
    [job] = made.jobs
    mine = replace(FIRST, notebook="my memory")
    current = replace(mine, source=job.notebook.digest, sabotage="lately")
    others = [FIRST, replace(mine, check="weeps")]
    known = known_catches([mine, current, *others], made.jobs)
    told = [(one.notebook, one.check, one.sabotage, one.is_current) for one in known]
    assert told == [
        ("my_memory", "keeps", "forgets", False),
        ("my_memory", "keeps", "lately", True),
    ]
