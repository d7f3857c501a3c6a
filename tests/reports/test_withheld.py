"""Notes in the place of files that held a secret."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from junitparser import Error, JUnitXml

from labkit.reports.read import read_run
from labkit.reports.withheld import withheld_note
from tests.reports.pages import Page

WHERE = "cell 3, base64 <b>&`"


def note(name: str) -> str:
    """The note for a file, as text."""
    return withheld_note(Path(name), WHERE).decode()


@pytest.mark.parametrize(
    "name", ["x.ipynb", "x.html", "x.md", "junit.xml", "results.json", "journal.ndjson", "x.log"]
)
def test_every_kind_names_the_file_and_the_place(name: str) -> None:
    """A note says which file it stands for, and where in it the secret was."""
    assert name in note(name)
    assert "cell 3, base64" in note(name)


def test_a_notebook() -> None:
    """A withheld notebook is a valid notebook that says in its metadata what it is."""
    book = nbformat.reads(note("x.ipynb"), as_version=4)
    nbformat.validate(book)
    assert book.metadata.labkit.withheld == WHERE


def test_a_page() -> None:
    """A withheld page shows the note as text."""
    page = Page(note("x.html"))
    assert WHERE in page.text
    assert not page.all("b")


def test_junit() -> None:
    """A withheld JUnit file is never green."""
    (suite,) = JUnitXml.fromstring(note("junit.xml"))
    assert [type(result) for case in suite for result in case.result] == [Error]


def test_json() -> None:
    """A withheld JSON file is JSON."""
    assert list(json.loads(note("results.json"))) == ["withheld"]


def test_a_journal(tmp_path: Path) -> None:
    """A run whose journal was withheld is read as one that held a secret, and nothing more."""
    (tmp_path / "journal.ndjson").write_text(note("journal.ndjson"), encoding="utf-8")
    run = read_run(tmp_path)

    assert (run.exit_code, run.run, run.notebooks) == (5, tmp_path.name, ())
    assert run.secrets[0].file == "journal.ndjson"
