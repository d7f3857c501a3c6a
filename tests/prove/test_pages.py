"""A proof's page and data: every cell, every exception, and the way to what shows it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from labkit.prove.pages import proof_html, proof_json, proof_reports, totals, verdict
from labkit.records import Outcome
from labkit.reports.html import page_name
from labkit.reports.results import Problem, RunResult
from tests.prove.proofs import (
    CLEAN,
    FORGETS,
    LOST,
    MISCOUNTS,
    PASSED,
    Ends,
    matrix,
    proof,
    sabotage,
)
from tests.reports.pages import Page

SOUND = proof(
    {
        "": [CLEAN],
        "forgets": [{"keeps": LOST, "counts": LOST}],
        "miscounts": [{"keeps": PASSED, "counts": LOST}],
    }
)
UNSOUND = proof(
    {
        "": [CLEAN, CLEAN],
        "forgets": [{"keeps": PASSED, "counts": PASSED}, {"keeps": LOST, "counts": PASSED}],
        "miscounts": [{"keeps": LOST, "counts": LOST}] * 2,
    }
)


def page(run: RunResult) -> str:
    """The page of a proof."""
    return proof_html(run, matrix(run))


def cells(text: str) -> dict[str, tuple[str, str, str]]:
    """Class, link and sign of each cell, by its words."""
    pattern = r'<td class="([^"]*)"><a href="([^"]*)" aria-label="([^"]*)"[^>]*>(.*?)</a></td>'
    return {words: (kind, link, sign) for kind, link, words, sign in re.findall(pattern, text)}


def test_cells_lead_to_what_shows_them() -> None:
    """Each has a sign and words, and a link to the check on the page of the trial."""
    found = cells(page(SOUND))
    link = f"{page_name(SOUND.notebooks[1])}#check-keeps"
    assert found["keeps: caught under forgets"] == ("caught", link, "✓")
    assert found["counts: downstream under forgets"][2] == "~"
    assert found["keeps: green under miscounts"][2] == "·"
    assert found["keeps: green without sabotage"][2] == "✓"
    assert len(found) == 6


def test_repeated_trials_are_counted_in_their_cell() -> None:
    """The worst of them is shown, and how often it was caught."""
    found = cells(page(UNSOUND))
    kind, link, sign = found["keeps: missed under forgets"]
    assert (kind, link) == ("missed", "memory--forgets--1.html#check-keeps")
    assert sign == "✗<small>1/2</small>"
    assert found["keeps: also red under miscounts"][0] == "also-red"


def test_exceptions_stand_first_and_lead_to_their_trial() -> None:
    """The page, its title and the verdict say that it does not pass."""
    text = page(UNSOUND)
    assert "<title>✗ Proof: 2 exceptions" in text
    exceptions = text[text.index('id="exceptions"') : text.index('id="matrix"')]
    assert 'href="memory--forgets--1.html#check-keeps">keeps misses forgets' in exceptions
    assert "1 of 2 trials are as they must be" in exceptions
    assert 'id="exceptions"' not in page(SOUND)


def test_each_sabotage_is_explained() -> None:
    """What is at fault, what it breaks, what it stands for; a column's head leads there."""
    text = page(SOUND)
    assert 'href="#forgets"' in text
    told = text[text.index('id="forgets"') :]
    for word in (
        "forgets is at fault.",
        "What was told is known.",
        "a lost write",
        "faulty:<wbr>Forgets",
    ):
        assert word in told


def test_name_of_a_platform_is_broken_between_its_parts_alone() -> None:
    """On a narrow page, a class stands on one line."""
    deep = replace(FORGETS, target="labkit.faulty.memory:Forgets_2")
    run = proof({"": [CLEAN], "forgets": [CLEAN]}, [deep, MISCOUNTS])
    assert ">labkit.<wbr>faulty.<wbr>memory:<wbr>Forgets_2</dd>" in page(run)


def test_hostile_words_are_text() -> None:
    """What a platform says of its sabotages is escaped."""
    odd = sabotage("odd", {"keeps": "<script>"})
    run = proof({"": [CLEAN], "odd": [CLEAN]}, [odd, FORGETS, MISCOUNTS], is_whole=False)
    assert "<script>" not in page(run)
    assert "&lt;script&gt;" in page(run)


def test_page_is_one_file() -> None:
    """It is whole, runs nothing and loads nothing."""
    text = page(SOUND)
    assert len(Page(text).all("main")) == 1
    assert "<script" not in text
    assert not re.search(r'(src|href)="(https?:)?//', text)


def test_data_hold_every_trial() -> None:
    """What was shown, when, by which version, and what is an exception."""
    value = json.loads(proof_json(UNSOUND, matrix(UNSOUND)))
    assert (value["passes"], value["labkit"], value["run_id"]) == (False, "0.1.0", "run_1")
    assert len(value["exceptions"]) == 2
    [cell] = [one for one in value["cells"] if one["mark"] == "missed"]
    assert (cell["check"], cell["sabotage"], cell["expected"]) == ("keeps", "forgets", "lost")
    assert [one["mark"] for one in cell["trials"]] == ["missed", "caught"]
    [clean, _] = [one for one in value["cells"] if one["sabotage"] is None]
    assert clean["expected"] is None


def test_a_run_that_is_no_proof_has_none_of_this() -> None:
    """Of a proof there are two reports more."""
    assert [name for name, _ in proof_reports(SOUND)] == ["proof.json", "proof.html"]
    assert list(proof_reports(replace(SOUND, proof=None))) == []


def test_verdict_is_a_sentence() -> None:
    """It counts what was tried, or what is wrong."""
    told = "2 sabotages, each caught by every check that must"
    assert verdict(matrix(SOUND)) == f"{told}; once another check is red too, as it may be"
    assert totals(SOUND, matrix(SOUND)) == "2 checks, 2 sabotages, 3 trials, 2 catches"
    one = proof({"": [CLEAN], "forgets": [{"keeps": LOST, "counts": PASSED}]}, is_whole=False)
    told = "1 sabotage, caught by every check that must; nothing else is red; 1 check"
    assert verdict(matrix(one)) == f"{told} that caught nothing in this proof is not judged"
    assert verdict(matrix(UNSOUND)).startswith("2 exceptions")


def test_run_that_did_not_come_to_its_end_is_not_shown_as_a_proof() -> None:
    """However its trials ended: no green page, no data that say that it passes."""
    problem = Problem(Outcome.UNKNOWN, "cancelled", "the run was ended early by SIGTERM")
    run = replace(SOUND, problems=(problem,))
    assert "✗ Proof: the proof did not come to its end" in page(run)
    assert problem.detail in page(run)
    assert json.loads(proof_json(run, matrix(run)))["passes"] is False


def test_skipped_check_has_a_sign_of_its_own() -> None:
    """It is not what a check has that looked, and found nothing."""
    skipped: Ends = {"keeps": PASSED, "counts": (Outcome.SKIPPED, "lacks")}
    found = cells(page(proof({"": [skipped], "forgets": [{**skipped, "keeps": LOST}]}, [FORGETS])))
    assert found["counts: skipped without sabotage"][2] == "○"
    assert found["counts: skipped under forgets"][2] == "○"
