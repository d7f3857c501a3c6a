"""Which trials a proof makes: each notebook clean, and against what concerns it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.batch.plan import Plan, make_plan
from labkit.errors import UsageError
from labkit.ids import RunID
from labkit.prove.trials import plan_proof, target_of
from tests.batch.runs import CLOSE, notebook, passing
from tests.notebook_files import code, write
from tests.prove.proofs import FORGETS, MISCOUNTS, sabotage

BOTH = sabotage("both", {"keeps": "lost", "counts": "lost"})
LISTING = "labkit prove memory --list"


def plan(root: Path, **books: Sequence[str]) -> Plan:
    """A plan of notebooks with these checks."""
    paths = [
        notebook(root / f"{name}.ipynb", *map(passing, checks)) for name, checks in books.items()
    ]
    return made(*paths)


def made(*paths: Path) -> Plan:
    """The plan for notebooks that lie in no project."""
    selections = [str(path) for path in paths]
    return make_plan(None, selections, run=RunID.new(), environment="test", deadline_s=60.0)


def test_each_notebook_is_tried_clean_and_against_what_concerns_it(tmp_path: Path) -> None:
    """The trials' names tell them apart; a sabotage's platform takes the target's place."""
    two = plan(tmp_path, memory=["keeps"], numbers=["counts"])
    trials, proof = plan_proof(two, [FORGETS, MISCOUNTS, BOTH], listing=LISTING)
    assert [job.name for job in trials.jobs] == [
        "memory",
        "memory--forgets",
        "memory--both",
        "numbers",
        "numbers--miscounts",
        "numbers--both",
    ]
    targets = {job.name: job.target for job in trials.jobs}
    assert targets["memory"] == "labkit.reference:Platform"
    assert targets["numbers--both"] == BOTH.target
    assert [one.name for one in proof.trials] == [job.name for job in trials.jobs]
    assert (proof.trials[1].notebook, proof.trials[1].sabotage) == ("memory", "forgets")
    assert proof.is_whole


def test_sweep_tries_all_against_all(tmp_path: Path) -> None:
    """Also where a sabotage concerns none of a notebook's checks."""
    alone = plan(tmp_path, memory=["keeps"])
    trials, _ = plan_proof(alone, [FORGETS, MISCOUNTS], listing=LISTING, sweep=True)
    assert [job.name for job in trials.jobs] == ["memory", "memory--forgets", "memory--miscounts"]


def test_trials_are_repeated(tmp_path: Path) -> None:
    """The clean ones too, each under a name of its own."""
    alone = plan(tmp_path, memory=["keeps"])
    trials, _ = plan_proof(alone, [FORGETS], listing=LISTING, repeat=2)
    names = ["memory", "memory--2", "memory--forgets", "memory--forgets--2"]
    assert [job.name for job in trials.jobs] == names


def test_named_sabotages_are_tried_alone(tmp_path: Path) -> None:
    """Notebooks that they do not concern are left out, and the proof is no whole one."""
    two = plan(tmp_path, memory=["keeps"], numbers=["counts"])
    trials, proof = plan_proof(two, [FORGETS, MISCOUNTS], listing=LISTING, names=["miscounts"])
    assert [job.name for job in trials.jobs] == ["numbers", "numbers--miscounts"]
    assert not proof.is_whole
    assert len(proof.sabotages) == 2


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["forgot"], "no sabotage 'forgot'; did you mean forgets? labkit prove memory --list"),
        (["xyz"], "no sabotage 'xyz'; labkit prove memory --list shows them"),
        (["miscounts"], "miscounts concerns numbers, not memory; name its area, or see labkit"),
        (["both", "miscounts"], "miscounts concerns numbers"),
    ],
)
def test_what_cannot_be_tried_is_refused(names: Sequence[str], told: str, tmp_path: Path) -> None:
    """An unknown name, with the nearest one; a known one that concerns nothing here."""
    made, elsewhere = plan(tmp_path, memory=["keeps"]), replace(MISCOUNTS, area="numbers")
    with pytest.raises(UsageError) as refused:
        plan_proof(made, [FORGETS, elsewhere, BOTH], listing=LISTING, names=names, is_whole=False)
    assert told in str(refused.value)


def test_word_of_a_name_leads_to_those_that_have_it(tmp_path: Path) -> None:
    """To three at most, and to the list."""
    stale = [sabotage(f"stale-{one}", {"keeps": "lost"}) for one in ("set", "get", "end", "put")]
    alone = plan(tmp_path, memory=["keeps"])
    with pytest.raises(UsageError) as refused:
        plan_proof(alone, [FORGETS, *stale], listing=LISTING, names=["stale"])
    assert str(refused.value) == (
        "there is no sabotage 'stale'; did you mean stale-set or stale-get or stale-end?"
        " labkit prove memory --list shows them"
    )


def test_nothing_to_try_is_refused(tmp_path: Path) -> None:
    """Notebooks that no sabotage concerns."""
    alone = plan(tmp_path, memory=["keeps"])
    with pytest.raises(UsageError, match="no sabotage concerns these notebooks; labkit prove mem"):
        plan_proof(alone, [MISCOUNTS], listing=LISTING)


def test_target_is_that_of_all_notebooks(tmp_path: Path) -> None:
    """One that names none, and several that name different ones, are refused."""
    one = notebook(tmp_path / "one.ipynb", passing("holds"))
    assert target_of(made(one)) == "labkit.reference:Platform"
    opens = 'from labkit.lab import Lab\nlab = await Lab.open("area")'
    deaf = write(tmp_path / "deaf.ipynb", code(opens), passing("hears"), CLOSE)
    with pytest.raises(UsageError, match="deaf: without a parameter 'target'"):
        target_of(made(one, deaf))
    declared = code('target: str = "other:Platform"', "parameters")
    other = write(tmp_path / "other.ipynb", declared, code(opens), passing("differs"), CLOSE)
    with pytest.raises(UsageError, match="other:Platform; give one"):
        target_of(made(one, other))
