"""How a report words things: sentences, times, and payloads made safe to show as text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from labkit.journal import Ending
from labkit.records import Outcome
from labkit.reports.results import NotebookResult, RunResult, tally

LIMIT: Final = 4_000
"""How many characters of a payload a page shows."""

_TERMINAL: Final = re.compile(r"\x1b\[[0-9;:?<=>]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_HEAD: Final = re.compile(r"[ |+]*(Exception Group )?Traceback \(most recent call last\):$")
_RULE: Final = re.compile(r" *\+-(\+-)?-+( [\d.]+ -+)?$")
"""A line between the errors of an exception group; that above its first error has two `+`."""
_MARGIN: Final = re.compile(r"^ *\| ?")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """The text without colours and cursor moves; other control characters become `�`."""
    lines = _TERMINAL.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("�", lines)


def capped(text: str, limit: int = LIMIT) -> str:
    """The text, its middle replaced by a count where it is longer than `limit` characters."""
    shown = plain(text)
    left_out = len(shown) - limit
    if left_out <= 0:
        return shown
    tail = limit // 4
    return f"{shown[: limit - tail]}\n… {left_out:,} characters left out …\n{shown[-tail:]}"


def one_line(text: str, limit: int = LIMIT) -> str:
    """The text as one line of at most `limit` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def gist(detail: str, limit: int = 300) -> str:
    """A detail as one line: of a traceback the error, of what a traceback follows the sentence."""
    lines = plain(detail).strip().split("\n")
    heads = [place for place, line in enumerate(lines) if _HEAD.match(line)]
    if not heads:
        return one_line(detail, limit)
    has_sentence = heads[0] == 1
    return one_line(lines[0] if has_sentence else _error(lines), limit)


def _error(lines: list[str]) -> str:
    """The error that a traceback ends in; of an exception group its first leaf as well."""
    groups = [place for place, line in enumerate(lines) if line.startswith("  +-+-")]
    if not groups or not _RULE.match(lines[-1]):
        return _first_told(lines)
    group, leaf = lines[groups[-1] - 1], list[str]()
    for line in lines[groups[-1] + 1 :]:
        rule = _RULE.match(line)
        if rule and not rule[1]:
            break
        leaf = [] if rule else [*leaf, _MARGIN.sub("", line)]
    return f"{group.lstrip(' |').rstrip()}; first: {_first_told(leaf)}"


def _first_told(lines: list[str]) -> str:
    """The error's type and its message's first line: behind the last traceback, what is no step."""
    heads = [place for place, line in enumerate(lines) if _HEAD.match(line)]
    behind = lines[heads[-1] + 1 if heads else 0 :]
    return next((line.rstrip() for line in behind if line[:1].strip()), "".join(lines[-1:]))


def duration(seconds: float) -> str:
    """A span of time for a reader, such as `340 ms`, `3.2 s` or `2 min 05 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def took(notebook: NotebookResult) -> str:
    """How long a notebook's execution took; a dash where it was not executed."""
    return duration(notebook.seconds) if notebook.seconds else "—"


def moment(at: float) -> str:
    """Seconds since the epoch as a date and time in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(at: float) -> str:
    """Seconds since the epoch as a date in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def counted(number: int, noun: str) -> str:
    """The number with its noun, such as `1 check` or `1,234 checks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def verdict(run: RunResult) -> str:
    """The run in one plain sentence."""
    if run.secrets:
        return f"A secret was found in {counted(len(run.secrets), 'file')} of this run"
    if run.is_green:
        return _green(run)
    if run.problems:
        return _capital(run.problems[0].detail)
    return _unheard(run) or _red_checks(run) or "Nothing passed, so nothing is known"


def _red_checks(run: RunResult) -> str:
    red = [check for check in run.checks if not _is_at_ease(check.outcome)]
    if len(red) == 1:
        ended = "failed" if red[0].outcome is Outcome.FAILED else f"is {red[0].outcome}"
        return f"1 check {ended}: {red[0].name}"
    return f"{', '.join(_counts(run, of_red=True))} of {_total(run)}" if red else ""


def _unheard(run: RunResult) -> str:
    """What is wrong with a notebook, where no check says worse than that it is unknown."""
    red = [(book, problem) for book in run.notebooks for problem in book.problems]
    outcomes = {check.outcome for check in run.checks}
    if not red or outcomes & {Outcome.FAILED, Outcome.BROKEN}:
        return ""
    book, problem = red[0]
    told = f"{book.name} is {problem.outcome}: {gist(problem.detail)}"
    return "; ".join(filter(None, (told, _red_checks(run))))


def stopped_early(run: RunResult) -> str:
    """That the run ended before its last notebook, and why; empty where it did not."""
    of_one_alone = {Ending.NO_KERNEL, Ending.NO_LEASE}
    left = [book for book in run.unfinished if book.ending not in of_one_alone]
    if not left:
        return ""
    causes = [problem.detail for problem in run.problems if problem.reason != "secret"]
    why = gist((causes or [left[0].detail])[0]).rstrip(".")
    some = f"{len(left)} of {counted(len(run.notebooks), 'notebook')}"
    return f"Stopped early: {why}. {some} {'has' if len(left) == 1 else 'have'} no result."


def totals(run: RunResult) -> str:
    """How many checks ended how, such as `4 passed, 1 failed`."""
    return ", ".join(_counts(run)) or "no checks"


def _green(run: RunResult) -> str:
    counts = dict(tally(run.checks))
    passed, skipped = counts[Outcome.PASSED], counts.get(Outcome.SKIPPED, 0)
    told = [f"{passed} of {counted(passed + skipped, 'check')} passed"]
    others = (Outcome.SKIPPED, Outcome.DESELECTED)
    return ", ".join(told + [f"{counts[kind]} {kind}" for kind in others if kind in counts])


def _counts(run: RunResult, *, of_red: bool = False) -> list[str]:
    return [
        f"{number:,} {outcome}"
        for outcome, number in reversed(tally(run.checks))
        if not (of_red and _is_at_ease(outcome))
    ]


def _total(run: RunResult) -> str:
    return counted(sum(check.outcome is not Outcome.DESELECTED for check in run.checks), "check")


def _is_at_ease(outcome: Outcome) -> bool:
    return outcome.is_green or outcome is Outcome.DESELECTED


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
