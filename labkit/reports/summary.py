"""`summary.md`: the run for a CI job's page, which drops what is larger than 1 MiB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from labkit.record_view import SYMBOLS
from labkit.records import Expectation
from labkit.reports.repeats import steadiness
from labkit.reports.results import NotebookResult, RunResult
from labkit.reports.texts import (
    counted,
    duration,
    gist,
    moment,
    one_line,
    stopped_early,
    took,
    totals,
    verdict,
)
from labkit.reports.troubles import Trouble, troubles

LIMIT_BYTES: Final = 512 * 1024
"""The largest summary that is written."""

_TROUBLES: Final = 50
_TEXT: Final = 300
_SPECIAL: Final = re.compile(
    r"""
    [\\`*\[\]<|~$@]
    | (?<![^\W_])_ | _(?![^\W_])        # inside of a word it means itself
    | (?<!\w)\# | \#(?=\d)             # a heading, its end, an issue
    | &(?=[\#\w])                      # an entity
    | (?<!\d):(?=[\w/+-])              # an address, an emoji; no time of day
    | (?<=www)\.
    | ^[+=>-]
    """,
    re.VERBOSE,
)
"""What Markdown, or a CI page's own kind of it, would change where it stands."""
_NUMBERED: Final = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def summary_md(run: RunResult) -> str:
    """The run in Markdown: totals, what is red, then a table of the notebooks.

    Payloads are escaped or stand in code spans; the text is cut after `LIMIT_BYTES`.
    """
    sign = SYMBOLS[run.outcome] if not run.is_green else "✓"
    lines = [f"# {sign} {escaped(verdict(run))}", "", _facts(run), "", *_early(run)]
    lines += [*_red(troubles(run)), *_repeats(run), *_table(run), *_notes(run)]
    return _cut("\n".join(lines) + "\n")


def escaped(text: str) -> str:
    """The text as one line of Markdown that means itself."""
    line = _SPECIAL.sub(r"\\\g<0>", one_line(text, _TEXT))
    return _NUMBERED.sub(r"\1\\\2", line)


def code(text: str) -> str:
    """The text as a code span, also inside a table."""
    shown = one_line(text, _TEXT).replace("|", "¦")
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if shown else "—"


def _facts(run: RunResult) -> str:
    services = [f"{service.product} {service.version}" for service in run.services]
    facts = [totals(run), duration(run.seconds), moment(run.started_at), *services]
    return f"{' · '.join(map(escaped, facts))} · run {code(run.run)}"


def _early(run: RunResult) -> list[str]:
    told = stopped_early(run)
    return [escaped(told), ""] if told else []


def _red(found: tuple[Trouble, ...]) -> Iterator[str]:
    if found:
        yield from ["## What is not green", ""]
    for trouble in found[:_TROUBLES]:
        yield from _trouble(trouble)
    if len(found) > _TROUBLES:
        yield from [f"… and {len(found) - _TROUBLES} more; all are in `results.json`.", ""]


def _trouble(trouble: Trouble) -> Iterator[str]:
    what = " / ".join(name for name in (trouble.notebook, trouble.check) if name) or "run"
    claim = f" {escaped(trouble.claim)}" if trouble.claim else ""
    yield f"- {SYMBOLS[trouble.outcome]} **{trouble.outcome}** {code(what)}{claim}  "
    yield f"  {code(trouble.reason)} {escaped(gist(trouble.detail))}"
    if trouble.first:
        yield f"  - {escaped(trouble.first.label)}: {_compared(trouble, trouble.first)}"
    yield ""


def _compared(trouble: Trouble, first: Expectation) -> str:
    of_all = f"{trouble.failing} of {counted(trouble.compared, 'expectation')} did not hold"
    return f"expected {code(first.expected)}, got {code(first.actual)} ({of_all})"


def _repeats(run: RunResult) -> Iterator[str]:
    """How steady each check was that was executed several times."""
    told = steadiness(run)
    if told:
        yield from ["## Repetitions", "", "| check | green | flake rate |", "|---|--:|--:|"]
    for one in told:
        name = code(f"{one.notebook} / {one.check}")
        yield f"| {name} | {one.green} of {one.times} | {escaped(one.rate)} |"
    yield from [""] if told else []


def _table(run: RunResult) -> Iterator[str]:
    if run.notebooks:
        yield from [
            "## Notebooks",
            "",
            "| notebook | outcome | checks | time |",
            "|---|---|---|--:|",
        ]
    for notebook in run.notebooks:
        yield _row(notebook)


def _row(notebook: NotebookResult) -> str:
    outcome = f"{SYMBOLS[notebook.outcome]} {notebook.outcome}"
    checks = "<br>".join(
        f"{SYMBOLS[check.outcome]} {code(check.name)}" for check in notebook.checks
    )
    return f"| {code(notebook.name)} | {outcome} | {checks} | {took(notebook)} |"


def _notes(run: RunResult) -> Iterator[str]:
    """What a reader must know of the run beside its results, such as that it was resumed."""
    told = dict.fromkeys(run.notes)
    if told:
        yield from ["", "## Notes", "", *(f"- {escaped(note)}" for note in told)]


def _cut(text: str) -> str:
    """The text, ended at a line where it would be too large."""
    if len(text.encode(errors="backslashreplace")) <= LIMIT_BYTES:
        return text
    kept = text.encode(errors="backslashreplace")[:LIMIT_BYTES].decode(errors="ignore")
    return kept[: kept.rindex("\n")] + "\n\n… cut here; all is in `results.json`.\n"
