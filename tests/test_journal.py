"""The journal of a run is read back as it was written, also after a sudden end."""

import json
import math
import typing
from pathlib import Path

import pytest

from labkit.errors import RecordError
from labkit.journal import (
    CatchesKnown,
    CheckBegan,
    CheckEnded,
    CheckKilled,
    CoverageMeasured,
    Ending,
    Entry,
    FileCoverage,
    InfrastructureFailed,
    Journal,
    LeaseNote,
    NotebookEnded,
    NotebookStarted,
    Phase,
    PlannedCheck,
    PlannedNotebook,
    ProofStarted,
    RunCancelled,
    RunEnded,
    RunResumed,
    RunStarted,
    SecretFound,
    ServicesReady,
    Spent,
    entry_from_line,
    entry_to_line,
    read_journal,
)
from labkit.records import Outcome, ServiceVersion
from labkit.sabotage import Catch, KnownCatch, Sabotage, Trial

NOTEBOOK = PlannedNotebook("cache", "notebooks/cache.ipynb", "Cache", (PlannedCheck("a", "A"),))
SABOTAGE = Sabotage(
    *("stale", "cache", "faulty:Stale", "It is stale.", "It is fresh.", "a stale read"),
    (Catch("a", "old"),),
    ("b",),
)
ENTRIES: tuple[Entry, ...] = (
    RunStarted(1.0, "run", "0.1.0", "test", (NOTEBOOK,)),
    ServicesReady(1.5, (ServiceVersion("redis", "Redis", "7.0", "given"),)),
    NotebookStarted(2.0, "cache"),
    CheckBegan(2.1, "cache", "a"),
    CheckEnded(2.2, "cache", "a", Outcome.BROKEN, "exception", 0.1),
    CheckKilled(2.3, "cache", "a", 30.0),
    *(NotebookEnded(2.4, "cache", ending, "why", 3, 0.4) for ending in Ending),
    NotebookEnded(2.5, "cache", Ending.REACHED_THE_END, "", None, 0.5),
    LeaseNote(2.6, "removed 1 leftover"),
    RunCancelled(2.7, "SIGTERM"),
    InfrastructureFailed(2.8, "no PostgreSQL\nanywhere\x85\u2028 \ud800 é"),
    SecretFound(2.9, "cache.ipynb", "cell 3, base64"),
    CatchesKnown(
        1.1,
        (
            KnownCatch(
                "cache",
                "a",
                "stale",
                "shop:Shop",
                "It is stale.",
                2,
                3,
                0.5,
                "0.1.0",
                is_current=True,
            ),
        ),
    ),
    ProofStarted(1.2, (SABOTAGE,), (Trial("cache--stale", "cache", "stale"),), is_whole=False),
    CoverageMeasured(2.95, (FileCoverage("shop.till", 3, (7,)),)),
    NotebookEnded(
        *(2.96, "cache", Ending.REACHED_THE_END, "", None, 0.5), (Spent(Phase.CELLS, 0.25),)
    ),
    RunEnded(3.0),
    RunResumed(4.0, ("cache",)),
)


def write(path: Path, *entries: Entry) -> None:
    """A journal of these entries."""
    with path.open("w", encoding="utf-8") as file:
        journal = Journal(file)
        for entry in entries:
            journal.write(entry)


def test_every_kind_of_entry_is_tried() -> None:
    """A kind that is added must come back as it was, too."""
    assert {type(entry) for entry in ENTRIES} == set(typing.get_args(Entry))


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    """All entries, in order, whatever characters they hold, each on a line of its own."""
    path = tmp_path / "journal.ndjson"
    write(path, *ENTRIES)
    assert tuple(read_journal(path)) == ENTRIES
    assert len(path.read_text(encoding="ascii").splitlines()) == len(ENTRIES)


def test_an_entry_is_in_the_file_at_once(tmp_path: Path) -> None:
    """Who follows the file sees an entry before the next one is written."""
    path = tmp_path / "journal.ndjson"
    with path.open("w", encoding="utf-8") as file:
        journal = Journal(file)
        for count, entry in enumerate(ENTRIES, start=1):
            journal.write(entry)
            assert len(list(read_journal(path))) == count


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path, kept: int) -> None:
    """A run that was killed while it wrote loses that entry alone."""
    path = tmp_path / "journal.ndjson"
    write(path, *ENTRIES[:3])
    line = entry_to_line(ENTRIES[3]).encode()
    path.write_bytes(path.read_bytes() + line[:kept])
    assert tuple(read_journal(path)) == ENTRIES[:3]


def test_an_empty_journal_has_no_entries(tmp_path: Path) -> None:
    """A run that was killed at once wrote nothing."""
    path = tmp_path / "journal.ndjson"
    path.touch()
    assert list(read_journal(path)) == []


@pytest.mark.parametrize(
    "line",
    [b"not json", b"\xff\xfe", b"", b"[]", b'"text"', b'{"kind": "run-ended"}', b'{"at": 1}'],
)
def test_a_line_that_cannot_be_read_is_named_by_number(tmp_path: Path, line: bytes) -> None:
    """A damaged journal is never read as a shorter one."""
    path = tmp_path / "journal.ndjson"
    write(path, *ENTRIES[:2])
    path.write_bytes(path.read_bytes() + line + b"\n" + entry_to_line(ENTRIES[2]).encode() + b"\n")
    with pytest.raises(RecordError, match=r"^journal\.ndjson, line 3: "):
        list(read_journal(path))


@pytest.mark.parametrize(
    "change",
    [{"kind": "run-finished"}, {"kind": []}, {"cell": "3"}, {"cell": True}, {"ending": "well"}],
)
def test_a_line_must_fit_its_kind(change: dict[str, object]) -> None:
    """A member of another type, or an unknown kind or ending, is refused."""
    value = json.loads(entry_to_line(ENTRIES[6]))
    with pytest.raises(RecordError):
        entry_from_line(json.dumps(value | change))


def test_only_json_is_written() -> None:
    """What JSON cannot hold is refused when it is written, not when it is read."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        entry_to_line(RunEnded(math.nan))
