"""A run's folder is sealed: no file in it holds a secret, and its reports can be rebuilt."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from labkit.batch.plan import Job, make_plan
from labkit.batch.recorder import Recorder
from labkit.batch.seal import finish_notebook, seal
from labkit.ids import RunID
from labkit.journal import Entry, Journal, SecretFound, read_journal
from labkit.records import Outcome
from labkit.redaction import Redactor, Secret
from labkit.reports.build import build_reports
from labkit.reports.results import RunResult
from tests.notebook_files import write_with_parameters
from tests.reports.runs import RunFolder, cell, check_cell

SECRET = "kU7-xq.29Zt"
REPORTS = {"index.html", "database.html", "junit.xml", "results.json", "summary.md"}


def sealed(run: RunFolder, *secrets: str) -> tuple[Path, RunResult, list[Entry]]:
    """The folder once it is sealed, its result, and what the run's watcher was told."""
    run.is_ended = False
    folder, watched = run.write(), list[Entry]()
    with (folder / "journal.ndjson").open("a", encoding="utf-8") as file:
        recorder = Recorder(Journal(file), watched.append)
        recorder.keep_secret(map(Secret, secrets or (SECRET,)))
        return folder, seal(folder, recorder), watched


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the folder with its content."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def clean(path: Path) -> RunFolder:
    """A run of one notebook without a secret."""
    return RunFolder(path, cells=[check_cell("rollback")])


def in_an_output(path: Path) -> RunFolder:
    """A run with the secret in an output of a cell."""
    printed = new_output("stream", text=f"log in with {SECRET}")
    return RunFolder(path, cells=[check_cell("rollback"), cell(printed)])


def in_the_source(path: Path) -> RunFolder:
    """A run with the secret in the source of a cell."""
    return RunFolder(path, cells=[check_cell("rollback"), new_code_cell(f"log_in('{SECRET}')")])


def in_the_journal(path: Path) -> RunFolder:
    """A run with the secret in its journal."""
    return RunFolder(path, cells=[check_cell("rollback")], title=f"Database {SECRET}")


def test_a_clean_run_is_reported(tmp_path: Path) -> None:
    """The journal ends, all reports stand in the folder, and `latest` leads to it."""
    folder, result, watched = sealed(clean(tmp_path / "run"))
    assert result.exit_code == 0
    assert set(contents(folder)) == REPORTS | {"database.ipynb", "journal.ndjson"}
    assert (tmp_path / "latest").resolve() == folder
    assert list(read_journal(folder / "journal.ndjson"))[-1:] == watched


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (in_an_output, "database.ipynb"),
        (in_the_source, "database.ipynb"),
        (in_the_journal, "journal.ndjson"),
    ],
)
def test_files_with_a_secret_are_withheld(
    tmp_path: Path, make: Callable[[Path], RunFolder], file: str
) -> None:
    """The file becomes a note, the run's exit code is 5, and the secret is nowhere any more."""
    folder, result, watched = sealed(make(tmp_path / "run"))
    assert result.exit_code == 5
    assert [one.file for one in watched if isinstance(one, SecretFound)] == [file]
    assert [one.file for one in result.secrets] == [file]
    assert [name for name, content in contents(folder).items() if SECRET.encode() in content] == []
    assert b"held a secret" in contents(folder)["index.html"]
    assert set(contents(folder)) >= {"index.html", "junit.xml", "results.json", "summary.md"}


def test_reports_with_a_secret_are_withheld(tmp_path: Path) -> None:
    """A secret that only the pages hold replaces them, and the other reports tell it."""
    word = b"prefers-color-scheme"
    folder, result, _ = sealed(clean(tmp_path / "run"), word.decode())
    assert result.exit_code == 5
    assert {one.file for one in result.secrets} == {"database.html", "index.html"}
    assert not any(word in content for content in contents(folder).values())
    assert b"A secret was found in 2 files" in contents(folder)["summary.md"]


def test_what_a_notebook_leaves_is_searched_too(tmp_path: Path) -> None:
    """Files that a notebook wrote into the run's folder, also deeper in it, are withheld."""
    run = clean(tmp_path / "run")
    deeper = run.path / "evidence" / "dump.txt"
    deeper.parent.mkdir(parents=True)
    deeper.write_text(f"a dump with {SECRET}")
    folder, result, _ = sealed(run)
    assert result.exit_code == 5
    assert [one.file for one in result.secrets] == ["evidence/dump.txt"]
    assert SECRET not in deeper.read_text()
    assert result.notebooks[0].outcome is Outcome.PASSED
    assert folder.is_dir()


@pytest.mark.parametrize("make", [clean, in_an_output, in_the_journal])
def test_reports_are_rebuilt_byte_for_byte(
    tmp_path: Path, make: Callable[[Path], RunFolder]
) -> None:
    """A sealed run's reports come out the same again, without the run's secrets."""
    folder, result, _ = sealed(make(tmp_path / "run"))
    before = contents(folder)
    for name in REPORTS & set(before):
        (folder / name).unlink()
    assert build_reports(folder) == result
    assert contents(folder) == before


def job(tmp_path: Path) -> Job:
    """The plan for one notebook."""
    path = write_with_parameters(tmp_path / "database.ipynb", "size: int = 1")
    plan = make_plan(None, [str(path)], run=RunID.new(), environment="test", deadline_s=60.0)
    return plan.jobs[0]


def test_an_executed_notebook_gets_its_last_form(tmp_path: Path) -> None:
    """No path of this machine, no cell of papermill's own and no secret is left in it."""
    planned = job(tmp_path)
    parameters = {"note": f"with {SECRET}"}
    metadata = {"papermill": {"output_path": str(tmp_path), "parameters": parameters}}
    run = RunFolder(tmp_path / "run", cells=[check_cell("rollback")], metadata=dict(metadata))
    path = run.write() / "database.ipynb"
    book = nbformat.read(path, as_version=4)
    kept = len(book.cells)
    error = new_code_cell("raise", metadata={"tags": ["papermill-error-cell-tag"]})
    book.cells.insert(0, error)
    nbformat.write(book, path)

    finish_notebook(path, planned, Redactor([Secret(SECRET)]))
    finished = nbformat.read(path, as_version=4)
    assert len(finished.cells) == kept
    assert finished.metadata.papermill.input_path == planned.written
    assert finished.metadata.papermill.output_path == "database.ipynb"
    assert finished.metadata.papermill.parameters == {"note": "with ***"}
    assert {one.name for one in path.parent.iterdir()} == {"database.ipynb", "journal.ndjson"}


def test_a_notebook_that_was_never_written_stays_so(tmp_path: Path) -> None:
    """Finishing what no kernel ever began makes no file."""
    path = tmp_path / "run.ipynb"
    finish_notebook(path, job(tmp_path), Redactor())
    assert not path.exists()


def test_a_notebook_that_was_half_written_stays_so(tmp_path: Path) -> None:
    """A full disk cuts it off; the error that says so is not hidden by another one."""
    path = tmp_path / "run.ipynb"
    path.write_text('{"cells": [')
    finish_notebook(path, job(tmp_path), Redactor())
    assert path.read_text() == '{"cells": ['


def test_sealing_ends_in_time_order(tmp_path: Path) -> None:
    """Entries of the end carry the time at which they were made."""
    began = time.time()
    _, _, watched = sealed(in_an_output(tmp_path / "run"))
    at = [entry.at for entry in watched]
    assert at == sorted(at)
    assert began <= at[0]
