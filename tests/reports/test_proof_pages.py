"""Pages say what a check is known to catch, and of a trial that its red is wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labkit.journal import CatchesKnown, Entry, ProofStarted, SecretFound
from labkit.records import Outcome
from labkit.reports.build import build_reports
from labkit.reports.html import Pages
from labkit.reports.read import read_run
from labkit.sabotage import Catch, KnownCatch, Sabotage, Trial
from tests.reports.pages import Page
from tests.reports.runs import AT, MISSES, RunFolder, check_cell

CAUGHT = KnownCatch(
    notebook="database",
    check="rollback",
    sabotage="commit-on-error",
    platform="shop:Shop",
    fault="It commits <whatever> happened.",
    caught=20,
    trials=20,
    shown_at=AT - 86_400,
    labkit="0.0.9",
    is_current=True,
)
SABOTAGE = Sabotage(
    name="commit-on-error",
    area="database",
    target="faulty:CommitsOnError",
    fault="It commits <whatever> happened.",
    promise="What came before an error is gone.",
    stands_for="an exit that always commits",
    must=(Catch("rollback", "partial-write"),),
)
PROOF = ProofStarted(AT, (SABOTAGE,), (Trial("database", "memory", SABOTAGE.name),), is_whole=True)


def folder(root: Path, *entries: Entry, outcome: Outcome = Outcome.PASSED) -> RunFolder:
    """A run of one check, with these entries in its journal."""
    facts = () if outcome is Outcome.PASSED else (MISSES,)
    cells = [check_cell("rollback", outcome, *([facts] if facts else []))]
    return RunFolder(root, cells=cells, entries=entries, verdict=outcome)


def page_of(made: RunFolder) -> Page:
    """The page of the run's only notebook."""
    run = read_run(made.write())
    return Page(Pages(run).notebook(run.notebooks[0]))


def words(page: Page) -> str:
    """The page's text on one line."""
    return " ".join(page.text.split())


def test_check_says_what_it_is_known_to_catch(tmp_path: Path) -> None:
    """Each sabotage by name, and when and by which version that was last shown."""
    earlier = replace(CAUGHT, sabotage="autocommit", shown_at=AT - 864_000, caught=19)
    told = words(page_of(folder(tmp_path, CatchesKnown(AT, (CAUGHT, earlier)))))
    assert "known to catch: commit-on-error, autocommit (19 of 20 times); last shown" in told
    assert "last shown 2026-03-04 with labkit 0.0.9" in told
    assert "before the notebook was changed" not in told


def test_what_an_earlier_notebook_showed_is_told_as_that(tmp_path: Path) -> None:
    """Whoever changed the notebook since has shown nothing yet."""
    old = replace(CAUGHT, is_current=False, shown_at=AT - 864_000)
    since = replace(CAUGHT, sabotage="autocommit")
    told = words(page_of(folder(tmp_path, CatchesKnown(AT, (old, since)))))
    assert "known to catch: autocommit; last shown 2026-03-04" in told
    assert "before the notebook was changed, known to catch: commit-on-error; last shown" in told
    assert told.count("known to catch: ") == 2


def test_catches_of_several_platforms_are_told_apart(tmp_path: Path) -> None:
    """Each may have a sabotage of that name."""
    other = replace(CAUGHT, platform="other:Shop")
    told = words(page_of(folder(tmp_path, CatchesKnown(AT, (CAUGHT, other)))))
    assert "commit-on-error of shop:Shop, commit-on-error of other:Shop; last" in told


def test_check_of_which_nothing_is_known_says_nothing(tmp_path: Path) -> None:
    """Another check's catches are not its own."""
    other = replace(CAUGHT, check="other")
    for number, entries in enumerate([(), (CatchesKnown(AT, (other,)),)]):
        page = page_of(folder(tmp_path / str(number), *entries))
        assert "known to catch" not in words(page)


def test_trial_says_what_it_was_tried_against(tmp_path: Path) -> None:
    """Who comes to a red page by a link of the matrix learns that red is right."""
    told = words(page_of(folder(tmp_path, PROOF, outcome=Outcome.FAILED)))
    assert "This is a trial against a faulty platform" in told
    assert "It commits <whatever> happened." in told
    assert "It must be caught by rollback (partial-write)" in told


def test_index_of_a_proof_leads_to_it(tmp_path: Path) -> None:
    """It does not call the reds of trials troubles."""
    page = Page(Pages(read_run(folder(tmp_path, PROOF, outcome=Outcome.FAILED).write())).index())
    assert "proof.html" in page.values("href")
    assert "What is not green" not in page.text


@pytest.mark.parametrize(("entries", "has_junit"), [((), True), ((PROOF,), False)])
def test_wanted_reds_are_no_failures_to_ci(
    entries: tuple[Entry, ...], *, has_junit: bool, tmp_path: Path
) -> None:
    """A proof has neither JUnit nor a summary; a run has both."""
    made = folder(tmp_path, *entries, outcome=Outcome.FAILED).write()
    build_reports(made)
    assert (made / "junit.xml").exists() is has_junit
    assert (made / "summary.md").exists() is has_junit
    assert (made / "results.json").exists()


def test_further_reports_are_withheld_as_the_others(tmp_path: Path) -> None:
    """One in which a secret was found becomes a note."""
    secret = SecretFound(AT + 4, "more.json", "a secret, raw, in the file, line 1")
    made = folder(tmp_path, secret).write()
    build_reports(made, lambda _run: [("more.json", b"{}"), ("other.json", b"{}")])
    assert "withheld" in (made / "more.json").read_text()
    assert (made / "other.json").read_bytes() == b"{}"
