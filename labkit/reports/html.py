"""The pages: `index.html` for the run and one document per notebook.

A page is one file: no script, nothing from elsewhere, every payload as escaped text. Templates
escape by default; the one exception is `markup.Html`.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from labkit.errors import RecordError
from labkit.record_view import SYMBOLS
from labkit.records import MEDIA_TYPE, Expectation, Outcome
from labkit.reports import texts
from labkit.reports.covered import table_of
from labkit.reports.document import Cell, CellKind, Display, Document, Output, Raised, Stream
from labkit.reports.markup import Html, dotted, identifier, image, markdown, python
from labkit.reports.parameters import parameters
from labkit.reports.profile import PHASES, profiles
from labkit.reports.repeats import steadiness
from labkit.reports.results import CheckResult, NotebookResult, RunResult
from labkit.reports.results_json import libraries
from labkit.reports.troubles import troubles
from labkit.sabotage import KnownCatch, Sabotage
from labkit.tables import MEDIA_TYPE as TABLE_MEDIA_TYPE
from labkit.tables import Table, table_from_json

ROWS: Final = 200
"""How many rows of a table a page shows."""

FOLDED: Final = 12
"""How many expectations that held a page shows unfolded."""

_PARAMETERS_TAG: Final = "parameters"
_GIVEN_TAG: Final = "injected-parameters"
_VALUE_TAG: Final = "business-value"


@dataclass(frozen=True)
class _Shown:
    """One output as the page shows it; exactly one member is there."""

    picture: Html | None = None
    table: Table | None = None
    text: str = ""
    raised: bool = False


@dataclass(frozen=True)
class _Part:
    """One cell of the document, with the checks that it ran."""

    cell: Cell
    prose: Html | None
    code: Html | None
    summary: str
    checks: tuple[CheckResult, ...]
    outputs: tuple[_Shown, ...]


def page_name(notebook: NotebookResult) -> str:
    """The file name of a notebook's page, which is never that of the run's own page."""
    name = notebook.name
    return f"{name}.html" if name.casefold() != "index" else f"{name}.notebook.html"


class Pages:
    """Makes the pages of one run; what they have in common is made once."""

    def __init__(self, run: RunResult) -> None:
        self._run = run
        self._templates = templates()
        self._python = functools.cache(python)  # trials of one notebook have the same cells

    def index(self) -> str:
        """The page of the run: its verdict, what is red, every check, and what it stands on."""
        run = self._run
        return self._templates.get_template("index.html").render(
            run=run,
            books={notebook.name: notebook for notebook in run.notebooks},
            troubles=troubles(run) if run.proof is None else (),
            repeats=steadiness(run),
            repetitions=_repetitions(run),
            profiles=profiles(run),
            phases=PHASES,
            coverage=table_of(run.coverage) if run.coverage is not None else None,
            libraries=libraries(run),
            notes=tuple(dict.fromkeys((*run.notes, *_service_notes(run)))),
        )

    def notebook(self, notebook: NotebookResult) -> str:
        """The page of a notebook: the executed document, each check as a section of it."""
        document = notebook.document
        homeless = [check for check in notebook.checks if check.cell is None]
        return self._templates.get_template("notebook.html").render(
            run=self._run,
            notebook=notebook,
            parameters=parameters(document) if document else (),
            value=_business_value(document, notebook) if document else None,
            parts=tuple(self._parts(document, notebook)) if document else (),
            homeless=tuple(one for one in homeless if one.outcome is not Outcome.DESELECTED),
            deselected=tuple(one for one in homeless if one.outcome is Outcome.DESELECTED),
            sabotage=_sabotage(self._run, notebook),
            known=_known(self._run, notebook),
        )

    def _parts(self, document: Document, notebook: NotebookResult) -> Iterator[_Part]:
        for cell in document.cells:
            if _VALUE_TAG in cell.tags or not cell.source.strip():
                continue
            source = _without_title(cell.source, notebook.title)
            checks = tuple(check for check in notebook.checks if check.cell == cell.index)
            yield _Part(
                cell=cell,
                prose=markdown(source) if cell.kind is CellKind.MARKDOWN else None,
                code=self._python(cell.source) if cell.kind is CellKind.CODE else None,
                summary=_summary(cell, checks),
                checks=checks,
                outputs=tuple(_shown(cell.outputs)),
            )


def _repetitions(run: RunResult) -> dict[str, str]:
    """Which one of how many each execution is of a notebook that was executed several times."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for notebook in run.notebooks:
        if notebook.repeats:
            names[notebook.repeats].append(notebook.name)
    return {
        name: f"repetition {number} of {len(alike)}"
        for alike in names.values()
        for number, name in enumerate(alike, start=1)
    }


def _sabotage(run: RunResult, notebook: NotebookResult) -> Sabotage | None:
    """What the notebook was tried against, where it is a trial of a proof."""
    proof = run.proof
    tried = {trial.name: trial.sabotage for trial in proof.trials} if proof else {}
    named = {sabotage.name: sabotage for sabotage in proof.sabotages} if proof else {}
    return named.get(tried.get(notebook.name, ""))


def _known(run: RunResult, notebook: NotebookResult) -> dict[str, tuple[KnownCatch, ...]]:
    """What each check was seen to catch."""
    own = [catch for catch in run.known if catch.notebook == notebook.name]
    names = dict.fromkeys(catch.check for catch in own)
    return {name: tuple(catch for catch in own if catch.check == name) for name in names}


def templates(*packages: str) -> Environment:
    """The pages' templates, and those that lie in `templates/` of further packages."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(one) for one in ("labkit.reports", *packages)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        symbols=SYMBOLS,
        verdict=texts.verdict,
        stopped_early=texts.stopped_early,
        took=texts.took,
        totals=texts.totals,
        rows=ROWS,
        folded=FOLDED,
        page_name=page_name,
        counted=texts.counted,
    )
    environment.filters.update(
        capped=texts.capped,
        line=texts.one_line,
        gist=texts.gist,
        identifier=identifier,
        dotted=dotted,
        duration=texts.duration,
        moment=texts.moment,
        day=texts.day,
        failing_first=_failing_first,
        marker=_marker,
    )
    return environment


def _service_notes(run: RunResult) -> list[str]:
    return [f"{service.product}: {note}" for service in run.services for note in service.notes]


def _failing_first(facts: tuple[Expectation, ...]) -> list[Expectation]:
    return sorted(facts, key=lambda fact: fact.holds)


def _marker(text: str, tone: str) -> str:
    """A sign for a tone, where the text does not begin with a sign of its own."""
    sign = {"good": "✓", "bad": "✗"}.get(tone, "")
    return "" if not text or not text[0].isalnum() else sign


def _business_value(document: Document, notebook: NotebookResult) -> Html | None:
    told = [
        _without_title(cell.source, notebook.title)
        for cell in document.cells
        if _VALUE_TAG in cell.tags
    ]
    return markdown("\n\n".join(told)) if told else None


def _without_title(source: str, title: str) -> str:
    """The Markdown without the notebook's title, which the page shows itself."""
    first, _, rest = source.lstrip().partition("\n")
    return rest if first.strip() == f"# {title}" else source


def _summary(cell: Cell, checks: tuple[CheckResult, ...]) -> str:
    """One line that stands for a folded cell."""
    if checks:
        return "check " + ", ".join(texts.one_line(check.name) for check in checks)
    if _GIVEN_TAG in cell.tags:
        return "the parameters of this run"
    if _PARAMETERS_TAG in cell.tags:
        return "the parameters"
    lines = cell.source.split("\n")
    dull = ("import ", "from ", "#", " ", ")")  # the last two go on with an import
    told = itertools.dropwhile(lambda line: not line.strip() or line.startswith(dull), lines)
    return texts.one_line("\n".join(told) or cell.source, 90)


def _shown(outputs: tuple[Output, ...]) -> Iterator[_Shown]:
    for output in outputs:
        match output:
            case Stream(text):
                yield _Shown(text=text)
            case Raised(name, value, traceback):
                yield _Shown(text=traceback or f"{name}: {value}", raised=True)
            case Display() if MEDIA_TYPE not in output.data:
                yield _display(output)


def _display(display: Display) -> _Shown:
    """The richest form that is safe: a table, a picture, or plain text."""
    try:
        return _Shown(table=table_from_json(display.data.get(TABLE_MEDIA_TYPE)))
    except RecordError:
        pass
    picture = image(display)
    if picture is not None:
        return _Shown(picture=picture)
    text = display.text("text/plain")
    kinds = ", ".join(sorted(display.data)) or "no form at all"
    return _Shown(text=f"(an output without a plain text: {kinds})" if text is None else text)
