"""How a report words things."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.journal import Ending, Entry, InfrastructureFailed, RunCancelled, SecretFound
from labkit.records import Outcome
from labkit.reports.read import read_run
from labkit.reports.texts import (
    capped,
    counted,
    duration,
    gist,
    moment,
    one_line,
    plain,
    stopped_early,
    took,
    verdict,
)
from tests.reports.runs import AT, MISSES, RunFolder, check_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;https://x.example\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("10%\r100%\r\nend", "10%\n100%\nend"),
        ("bell\x07 nul\x00 half\ud800", "bell� nul� half�"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_plain_text(text: str, shown: str) -> None:
    """Colours and cursor moves go; other control characters are shown to be there."""
    assert plain(text) == shown


def test_capped_text() -> None:
    """A long text keeps its beginning and its end and tells how much is left out."""
    assert capped("abc", 3) == "abc"
    assert capped("a" * 3000 + "z" * 1000, 400).splitlines() == [
        "a" * 300,
        "… 3,600 characters left out …",
        "z" * 100,
    ]


def test_one_line() -> None:
    """A text becomes one line of a bounded length."""
    assert one_line(" a\n\tb ") == "a b"
    assert one_line("abcdef", 4) == "abc…"


def test_the_gist_of_a_traceback() -> None:
    """A traceback's last line names the error; another detail is told whole."""
    assert gist("Traceback (most recent call last):\n  x\nValueError: no\n") == "ValueError: no"
    assert gist("two\nlines") == "two lines"
    assert gist("") == ""


def traced(error: Exception, cause: Exception | None = None) -> str:
    """The traceback of an error, as a check tells it."""
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return "".join(traceback.format_exception(caught.value))


LEAF = ExceptionGroup("inner", [ValueError("x"), KeyError("y")])
GROUP = ExceptionGroup("outer", [LEAF, OSError("z"), OSError("z")])


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        (traced(ExceptionGroup("two", [ValueError("x"), OSError("z")])), "two (2 sub-exceptions)"),
        (traced(GROUP), "outer (3 sub-exceptions)"),
        (traced(GROUP, OSError("cause")), "outer (3 sub-exceptions)"),
    ],
)
def test_the_gist_of_an_exception_group(detail: str, told: str) -> None:
    """A group is told by its own line and its first leaf, however deep that is."""
    assert gist(detail) == f"ExceptionGroup: {told}; first: ValueError: x"


def test_the_gist_of_a_traceback_in_a_group() -> None:
    """A leaf with a traceback of its own is told by that one's last line."""
    leaf = RuntimeError("the | pool")
    traced(leaf)
    told = "ExceptionGroup: g (1 sub-exception); first: RuntimeError: the | pool"
    assert gist(traced(ExceptionGroup("g", [leaf]))) == told
    assert gist(traced(OSError("last"), ExceptionGroup("g", [leaf]))) == "OSError: last"
    assert gist(traced(OSError("last"), KeyError("first"))) == "OSError: last"


LONG = ValueError(
    'insert on "threads" fails\nDETAIL:  Key (user_id)=(a) is not present.\n\nHINT: no'
)


def test_the_gist_of_an_error_of_many_lines() -> None:
    """It is told by its type and the first line of its message, alone and in a group."""
    told = 'ValueError: insert on "threads" fails'
    assert gist(traced(LONG)) == told
    assert gist(traced(LONG, OSError("cause"))) == told
    for group in (ExceptionGroup("g", [LONG]), ExceptionGroup("g", [LONG, OSError("z")])):
        assert gist(traced(group)).endswith(f"; first: {told}")
    deep = ExceptionGroup("g", [ExceptionGroup("h", [ValueError("new\nand more"), LONG])])
    assert gist(traced(deep)).endswith("; first: ValueError: new")


@pytest.mark.parametrize("error", [TimeoutError("slow"), GROUP])
def test_the_gist_of_a_sentence_before_a_traceback(error: Exception) -> None:
    """A deadline or an interrupt is told by its sentence, not by where it cut the check."""
    sentence = "the check did not end within its deadline of 2 s"
    assert gist(f"{sentence}\n{traced(error)}") == sentence


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (3.21, "3.2 s"),
        (59.96, "1 min 00 s"),
        (125.0, "2 min 05 s"),
    ],
)
def test_durations(seconds: float, told: str) -> None:
    """A span of time is told in the unit that fits it."""
    assert duration(seconds) == told


def test_numbers_and_moments() -> None:
    """Counts agree with their noun; moments are in UTC."""
    assert (counted(1, "check"), counted(1234, "check")) == ("1 check", "1,234 checks")
    assert moment(AT) == "2026-03-05 14:03:22 UTC"


PASSED, SKIPPED = check_cell("a"), check_cell("b", Outcome.SKIPPED, ())
FAILED, BROKEN = check_cell("b", Outcome.FAILED, (MISSES,)), check_cell("c", Outcome.BROKEN, ())


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        (RunFolder(Path(), ("a",), [PASSED]), "1 of 1 check passed"),
        (RunFolder(Path(), ("a", "b"), [PASSED, SKIPPED]), "1 of 2 checks passed, 1 skipped"),
        (RunFolder(Path(), ("a", "b"), [PASSED, FAILED]), "1 check failed: b"),
        (RunFolder(Path(), ("a", "c"), [PASSED, BROKEN]), "1 check is broken: c"),
        (
            RunFolder(Path(), ("a", "b", "c"), [PASSED, FAILED, BROKEN]),
            "1 broken, 1 failed of 3 checks",
        ),
        (RunFolder(Path(), ("b",), [SKIPPED]), "Nothing passed, so nothing is known"),
        (
            RunFolder(Path(), ("a",), [PASSED], Ending.CELL_ERROR, "cell 2 raised"),
            "database is broken: cell 2 raised",
        ),
        (
            RunFolder(Path(), ("a", "b"), [], Ending.CELL_ERROR, "cell 2 raised"),
            "database is broken: cell 2 raised; 2 unknown of 2 checks",
        ),
        (
            RunFolder(Path(), ("a", "b"), [FAILED], Ending.CELL_ERROR, "cell 2 raised"),
            "1 failed, 1 unknown of 2 checks",
        ),
        (
            RunFolder(Path(), ("a",), [PASSED], entries=(InfrastructureFailed(AT, "no Redis"),)),
            "No Redis",
        ),
        (
            RunFolder(Path(), ("a",), [PASSED], entries=(SecretFound(AT, "x.html", "line 1"),)),
            "A secret was found in 1 file of this run",
        ),
    ],
)
def test_the_verdict(tmp_path: Path, folder: RunFolder, told: str) -> None:
    """A run is told in one plain sentence, the gravest thing first."""
    folder.path = tmp_path
    assert verdict(read_run(folder.write())) == told


LAST_TURN = "red was red, and the run stops at the first red notebook"
NONE_OF_ONE = "1 of 1 notebook has no result."


@pytest.mark.parametrize(
    ("ending", "entries", "told"),
    [
        (Ending.REACHED_THE_END, (RunCancelled(AT, "SIGINT"),), ""),
        (Ending.NO_LEASE, (), ""),
        (
            Ending.DESELECTED,
            (SecretFound(AT, "x.html", "line 3"),),
            f"Stopped early: {LAST_TURN}. {NONE_OF_ONE}",
        ),
        (
            Ending.CANCELLED,
            (RunCancelled(AT, "SIGINT"),),
            f"Stopped early: the run was asked to stop (SIGINT). {NONE_OF_ONE}",
        ),
        (None, (), f"Stopped early: the run was cut off before its end. {NONE_OF_ONE}"),
    ],
)
def test_a_run_that_stopped_early_says_why(
    tmp_path: Path, ending: Ending | None, entries: tuple[Entry, ...], told: str
) -> None:
    """A run that came to its end does not, nor one that could not have one of its places."""
    folder = RunFolder(tmp_path, ending=ending, detail=LAST_TURN, entries=entries)
    folder.is_ended = ending is not None
    assert stopped_early(read_run(folder.write())) == told


def test_what_never_ran_took_no_time(tmp_path: Path) -> None:
    """A dash is no measurement."""
    (book,) = read_run(RunFolder(tmp_path).write()).notebooks
    assert took(book) == "3.0 s"
    assert took(replace(book, seconds=0.0)) == "—"
