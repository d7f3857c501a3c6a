"""All reports of a run, built and built again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import InfrastructureError, UsageError
from labkit.journal import SecretFound
from labkit.records import Outcome
from labkit.reports.build import build_reports, require_latest, update_latest
from labkit.reports.withheld import withheld_note
from tests.reports.runs import AT, MISSES, RunFolder, cell, check_cell, record, started

REPORTS = {"index.html", "database.html", "junit.xml", "results.json", "summary.md"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the folder with its content."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_reports(tmp_path: Path) -> None:
    """A build leaves the five reports beside notebook and journal, and nothing else."""
    build_reports(RunFolder(tmp_path, cells=[check_cell("rollback")]).write())
    assert set(contents(tmp_path)) == REPORTS | {"database.ipynb", "journal.ndjson"}


def test_a_second_build_gives_the_same_bytes(tmp_path: Path) -> None:
    """Reports are the same, byte for byte, in another folder and after they were lost."""
    for name in ("one", "two"):
        cells = [check_cell("rollback", Outcome.FAILED, (MISSES,))]
        build_reports(RunFolder(tmp_path / name, cells=cells).write())
    first = contents(tmp_path / "one")
    (tmp_path / "one" / "index.html").unlink()
    build_reports(tmp_path / "one")

    assert contents(tmp_path / "one") == first == contents(tmp_path / "two")


def test_results_for_machines(tmp_path: Path) -> None:
    """`results.json` holds the run's facts and every check with every expectation."""
    needing = replace(record("rollback"), needs=("data.transaction",))
    build_reports(RunFolder(tmp_path, cells=[cell(started("rollback"), needing)]).write())
    results = json.loads((tmp_path / "results.json").read_bytes())

    assert (results["run_id"], results["exit_code"], results["seed"]) == ("20260305-140322", 0, 7)
    assert results["versions"]["libraries"] == {"asyncpg": "0.31.0", "redis": "8.0.0"}
    assert [each["product"] for each in results["versions"]["services"]] == ["PostgreSQL", "Valkey"]
    (notebook,) = results["notebooks"]
    assert (notebook["name"], notebook["outcome"], notebook["seconds"]) == ("database", "passed", 3)
    (check,) = notebook["checks"]
    assert (check["name"], check["outcome"], check["reason"]) == ("rollback", "passed", "")
    assert (check["claim"], check["seconds"]) == ("the claim of rollback", 0.25)
    assert check["expectations"][0]["actual"] == "0"
    assert check["needs"] == ["data.transaction"]


def test_half_a_surrogate_pair(tmp_path: Path) -> None:
    """A text that UTF-8 cannot hold is escaped in every report instead of stopping the build."""
    facts = (MISSES.__class__("half \ud800", "", "", holds=False, reason="odd"),)
    cells = [check_cell("rollback", Outcome.FAILED, facts)]
    build_reports(RunFolder(tmp_path, cells=cells).write())

    results = json.loads((tmp_path / "results.json").read_bytes())
    assert results["notebooks"][0]["checks"][0]["expectations"][0]["label"] == "half \ud800"


def test_a_report_that_held_a_secret(tmp_path: Path) -> None:
    """A report in which the journal says that a secret was found stays a note."""
    found = SecretFound(AT, "index.html", "line 3, as it is")
    folder = RunFolder(tmp_path, cells=[check_cell("rollback")], entries=(found,))
    run = build_reports(folder.write())

    assert run.exit_code == 5
    written = contents(tmp_path)
    assert written["index.html"] == withheld_note(Path("index.html"), "line 3, as it is")
    assert b"the claim of rollback" in written["database.html"]


def test_a_folder_without_a_journal(tmp_path: Path) -> None:
    """A folder that is no run is refused, and nothing is written into it."""
    with pytest.raises(UsageError, match=r"has no journal\.ndjson"):
        build_reports(tmp_path)
    assert not contents(tmp_path)


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    """It is named, with what the system says of it and how the reports are had later."""
    folder = RunFolder(tmp_path, cells=[check_cell("rollback")]).write()
    (folder / "junit.xml").mkdir()
    with pytest.raises(
        InfrastructureError, match=r"junit\.xml cannot be written: Is a dir.*report"
    ):
        build_reports(folder)


class TestLatest:
    """The name under which the newest run is found."""

    def test_it_leads_to_the_newest_run(self, tmp_path: Path) -> None:
        """`latest` is a relative link that follows each new run."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            update_latest(tmp_path / name)

        assert (tmp_path / "latest").readlink() == Path("two")
        assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "latest"}

    def test_it_replaces_a_file_of_that_name(self, tmp_path: Path) -> None:
        """The file that stands for the link where links are not allowed is replaced as well."""
        (tmp_path / "latest").write_text("one\n", encoding="utf-8")
        (tmp_path / "two").mkdir()
        update_latest(tmp_path / "two")
        assert (tmp_path / "latest").readlink() == Path("two")

    def test_place_that_cannot_be_looked_into_is_not_its_business(self, tmp_path: Path) -> None:
        """Whoever makes the run's folder there learns why it cannot be."""
        require_latest(tmp_path / ("x" * 300))

    def test_it_never_replaces_a_folder(self, tmp_path: Path) -> None:
        """A folder of that name is left alone, with an error that says so."""
        (tmp_path / "latest").mkdir()
        with pytest.raises(UsageError, match="is a folder of its own"):
            update_latest(tmp_path / "two")
