"""The pages, parsed as a browser would: what they tell, and that nothing in them can act."""

from __future__ import annotations

import base64
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from labkit.journal import Ending
from labkit.records import CheckRecord, Expectation, Outcome, record_to_json
from labkit.reports.html import Pages, page_name
from labkit.reports.read import read_run
from labkit.tables import MEDIA_TYPE as TABLE_MEDIA_TYPE
from tests.reports.pages import Page
from tests.reports.runs import (
    HOLDS,
    MISSES,
    RunFolder,
    cell,
    check_cell,
    prose,
    record,
    started,
)

PNG = b"\x89PNG\r\n\x1a\n and more"

HOSTILE = [
    "<script>alert(1)</script>",
    "</style></pre></details><script src=https://evil.example/x.js></script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "1 onerror=alert(1)",
    "<svg/onload=alert(1)>",
    "<iframe src='https://evil.example'></iframe>",
    "[x](javascript:alert(1)) [y](JaVaScRiPt:alert(1)) [z](data:text/html,<script>)",
    "![x](https://evil.example/pixel.png)",
    "<https://evil.example/> <javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    "{{ 7 * 7 }}{% include 'style.css' %}",
    "<!--",
    "]]>",
    "a\x00b\x1b[31mred\x1b[0m\x1b]8;;https://evil.example\x07x\x1b]8;;\x07",
    "\u202eright to left",
    "\ud800",
]


def page_of(folder: RunFolder) -> Page:
    """The page of the folder's notebook."""
    run = read_run(folder.write())
    return Page(Pages(run).notebook(run.notebooks[0]))


def index_of(folder: RunFolder) -> Page:
    """The page of the folder's run."""
    return Page(Pages(read_run(folder.write())).index())


def display(data: Mapping[str, object], **metadata: object) -> nbformat.NotebookNode:
    """A cell that displayed one output."""
    return cell(new_output("display_data", data=dict(data), metadata=metadata))


def assert_inert(page: Page) -> None:
    """Nothing in the page runs, loads, or leads anywhere but to the web by a click."""
    tags = {element.tag for element in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "svg", "link", "base", "form", "math"}
    assert not [name for each in page.elements for name in each.attributes if name[:2] == "on"]
    assert all(
        re.match(r"https?://|#|[\w.-]+\.(html|ipynb|json|xml|md|ndjson)(#|$)", link)
        for link in page.values("href")
    )
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert not {"srcset", "style", "action", "background"} & {
        name for element in page.elements for name in element.attributes
    }


def everywhere(payload: str) -> RunFolder:
    """A run with the payload in every place that a notebook or its journal can put it."""
    fact = Expectation(payload, payload, payload, holds=False, reason=payload)
    told = CheckRecord(
        "rollback",
        payload,
        Outcome.FAILED,
        payload,
        payload,
        (fact,),
        (payload,),
        1.0,
        1.0,
        needs=(payload,),
    )
    table = {
        "caption": payload,
        "columns": [payload],
        "rows": [[payload], [{"text": payload, "tone": "bad"}]],
        "notes": [payload],
    }
    forms = ["text/plain", "text/html", "text/markdown", "text/latex", "application/javascript"]
    cells = [
        prose(payload, "business-value"),
        prose(payload),
        cell(told),
        cell(replace(record(payload), claim=payload)),
        cell({**record_to_json(record("x")), "outcome": payload}),
        display({TABLE_MEDIA_TYPE: table}),
        *(display({form: payload}) for form in forms),
        display({"image/svg+xml": payload}, **{"image/svg+xml": {"alt": payload}}),
        display(
            {"image/png": base64.b64encode(PNG).decode(), "text/plain": payload},
            **{"image/png": {"width": payload, "alt": payload}},
        ),
        display({"image/png": payload}),
        display({payload: payload}),
        cell(new_output("stream", name="stdout", text=payload)),
        cell(new_output("error", ename=payload, evalue=payload, traceback=[payload])),
        new_code_cell(payload, metadata={"tags": ["parameters", payload.replace(",", "")]}),
        new_code_cell(f"x = {payload!r}", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_raw_cell(payload),
    ]
    return RunFolder(Path(), cells=cells, title=payload, ending=Ending.CELL_ERROR, detail=payload)


@pytest.mark.parametrize("payload", HOSTILE)
def test_a_hostile_payload_in_every_place(tmp_path: Path, payload: str) -> None:
    """No payload, in whatever place, makes anything in the pages that runs or loads."""
    folder = replace(everywhere(payload), path=tmp_path)
    assert_inert(page_of(folder))
    assert_inert(index_of(folder))


def test_a_hostile_payload_is_shown_as_text(tmp_path: Path) -> None:
    """A payload is there to be read in the stream, the claim, the fact and the table."""
    page = page_of(replace(everywhere("<script>alert(1)</script>"), path=tmp_path))
    assert page.text.count("<script>alert(1)</script>") > 10


@pytest.mark.parametrize("make", [page_of, index_of])
def test_a_page_stands_alone(tmp_path: Path, make: Callable[[RunFolder], Page]) -> None:
    """A page has a language, one main part, one title, and a policy that allows it styles alone."""
    page = make(RunFolder(tmp_path, cells=[check_cell("rollback")]))
    policy = [meta.attributes for meta in page.all("meta") if "http-equiv" in meta.attributes]

    assert page.all("html")[0].attributes["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("main", "h1", "title", "style")] == [1, 1, 1, 1]
    assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in head.attributes for head in page.all("th"))


class TestIndex:
    """The page of the run."""

    def test_a_green_run(self, tmp_path: Path) -> None:
        """A green run is told in one sentence, with nothing to do."""
        page = index_of(RunFolder(tmp_path, cells=[check_cell("rollback")]))

        assert "".join(page.all("h1")[0].text).strip() == "1 of 1 check passed"
        assert "What is not green" not in page.text
        assert "Valkey 9.1.0 (embedded)" in page.text
        assert "Valkey: kept apart by prefix alone" in page.text
        assert "2026-03-05 14:03:22 UTC" in page.text

    def test_what_is_red_comes_first(self, tmp_path: Path) -> None:
        """A red check is told with its first missed fact and a link to its evidence."""
        folder = RunFolder(
            tmp_path,
            checks=("pool", "rollback"),
            cells=[check_cell("pool"), check_cell("rollback", Outcome.FAILED, (HOLDS, MISSES))],
        )
        page = index_of(folder)

        assert "".join(page.all("h1")[0].text).strip() == "1 check failed: rollback"
        assert "1 of 2 expectations did not hold." in page.text
        links = page.values("href")
        assert links[0] == "database.html#check-rollback"
        assert "check-rollback" in page_of(folder).values("id")

    def test_an_outcome_is_told_in_words(self, tmp_path: Path) -> None:
        """Every chip has its outcome's word beside a sign that screen readers leave out."""
        page = index_of(RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.SKIPPED, ())]))
        chips = [
            element
            for element in page.elements
            if element.attributes.get("class", "").startswith("chip")
        ]
        assert chips
        assert all("".join(chip.text).strip() == "skipped" for chip in chips)

    def test_a_check_is_listed_by_its_claim(self, tmp_path: Path) -> None:
        """A check's claim is the link to its evidence, its name stands beneath."""
        page = index_of(RunFolder(tmp_path, cells=[check_cell("rollback")]))
        links = {"".join(link.text): link.attributes["href"] for link in page.all("a")}

        assert links["the claim of rollback"] == "database.html#check-rollback"
        assert ["rollback"] in [code.text for code in page.all("code")]

    def test_the_gist_of_a_group(self, tmp_path: Path) -> None:
        """A check that ended in an exception group is told by its errors, not by a traceback."""
        with pytest.raises(ExceptionGroup) as caught:
            raise ExceptionGroup("two", [ValueError("x"), OSError("y")])
        detail = "".join(traceback.format_exception(caught.value))
        told = replace(record("rollback", Outcome.BROKEN, ()), detail=detail)
        page = index_of(RunFolder(tmp_path, cells=[cell(told)]))

        assert "ExceptionGroup: two (2 sub-exceptions); first: ValueError: x" in page.text
        assert "Traceback" not in page.text

    def test_it_is_small(self, tmp_path: Path) -> None:
        """Thirty-one failed checks with long names and texts make a page below 50 KB."""
        names = tuple(f"a_rather_long_name_of_a_check_that_is_number_{n}" for n in range(31))
        miss = replace(MISSES, actual="x" * 10_000)
        cells = [check_cell(name, Outcome.FAILED, (miss,)) for name in names]
        run = read_run(RunFolder(tmp_path, checks=names, cells=cells).write())
        assert len(Pages(run).index().encode()) < 50_000


class TestNotebookPage:
    """The page of a notebook."""

    def test_a_check_is_a_section(self, tmp_path: Path) -> None:
        """A check's claim, outcome and every fact stand in a section of its own."""
        page = page_of(
            RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, (HOLDS, MISSES))])
        )

        assert "the claim of rollback" in page.text
        assert "1 of 2 expectations did not hold" in " ".join(page.text.split())
        assert page.rows[1:] == [
            ["✗ no", "threads left", "0", "1", ""],
            ["✓ yes", "threads left", "0", "0", ""],
        ]

    def test_many_facts_are_capped_with_their_count(self, tmp_path: Path) -> None:
        """Of 1,234 facts 200 are shown, the failing one first, with the count and where all are."""
        facts = (*[HOLDS] * 1233, MISSES)
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, facts)]))

        shown = [row[0] for row in page.rows if row[0] != "holds"]
        assert shown == ["✗ no", *["✓ yes"] * 199]
        assert "1 of 1,234 expectations did not hold" in page.text
        assert "showing the first 200, failing ones first; all are in results.json" in page.text

    @pytest.mark.parametrize(("held", "folds"), [(12, 0), (13, 1)])
    def test_many_expectations_that_held_are_folded(
        self, tmp_path: Path, held: int, folds: int
    ) -> None:
        """They stand behind one line, and are in the page for who opens it."""
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback", facts=(HOLDS,) * held)]))
        lines = ["".join(each.text) for each in page.all("summary")]

        assert lines.count(f"All {held} expectations held") == folds
        assert [row[0] for row in page.rows].count("✓ yes") == held

    def test_what_did_not_hold_is_never_folded(self, tmp_path: Path) -> None:
        """A miss stands in a table of its own, before the line of those that held."""
        facts = (*(HOLDS,) * 43, replace(MISSES, label="the miss"))
        text = page_of(
            RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, facts)])
        ).text

        assert text.index("1 of 44 expectations did not hold") < text.index("the miss")
        assert text.index("the miss") < text.index("The 43 expectations that held")

    def test_a_long_text_is_capped_with_its_count(self, tmp_path: Path) -> None:
        """A cell that printed a megabyte shows its beginning, its end, and how much is left out."""
        long = new_output("stream", name="stdout", text="a" * 1_000_000 + "the end")
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback"), cell(long)]))

        assert "… 996,007 characters left out …" in page.text
        assert "the end" in page.text
        assert len(page.text) < 20_000

    def test_a_check_that_never_ran_has_a_section_too(self, tmp_path: Path) -> None:
        """A check without a record is found under its anchor as well."""
        page = page_of(
            RunFolder(tmp_path, checks=("rollback", "pool"), cells=[check_cell("rollback")])
        )
        assert "check-pool" in page.values("id")
        assert "its cell never ran" in page.text

    def test_parameters_are_a_table(self, tmp_path: Path) -> None:
        """Each parameter is shown once, with its last value and whether the run gave it."""
        defaults = new_code_cell("users: int = 5\nseed: int = 7", metadata={"tags": ["parameters"]})
        given = new_code_cell("users = 8", metadata={"tags": ["injected-parameters"]})
        page = page_of(RunFolder(tmp_path, cells=[defaults, given, check_cell("rollback")]))
        cells = ["".join(each.text) for each in page.all("td")]

        assert cells[cells.index("8") + 1] == "this run"
        assert cells[cells.index("7") + 1] == "default"
        assert "5" not in cells
        names = ["".join(each.text) for each in page.all("code")]
        assert names.index("the parameters") < names.index("the parameters of this run")

    def test_code_is_folded_but_where_it_raised(self, tmp_path: Path) -> None:
        """Code is folded behind one line; a cell that raised is open."""
        error = new_output("error", ename="E", evalue="no", traceback=["\x1b[31mE\x1b[0m: no"])
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback"), cell(error)]))

        assert ["open" in each.attributes for each in page.all("details")] == [
            False,
            False,
            True,
            False,
        ]
        assert "E: no" in page.text

    def test_a_folded_cell_is_told_by_its_first_line_after_the_imports(
        self, tmp_path: Path
    ) -> None:
        """Also where an import goes on over several lines."""
        opening = new_code_cell("import a\nfrom b import (\n    c,\n)\n\nlab = await Lab.open()")
        page = page_of(RunFolder(tmp_path, cells=[opening, check_cell("rollback")]))

        assert "Cell 1: lab = await Lab.open()" in " ".join(page.text.split())

    def test_pictures_are_inside_the_page(self, tmp_path: Path) -> None:
        """SVG and PNG become data, with their description; what is no PNG is none."""
        svg = display(
            {"image/svg+xml": "<svg onload='x'/>"}, **{"image/svg+xml": {"alt": "latency"}}
        )
        png = display({"image/png": base64.b64encode(PNG).decode(), "text/plain": "a plot"})
        no_png = display({"image/png": base64.b64encode(b"GIF89a").decode()})
        page = page_of(RunFolder(tmp_path, cells=[svg, png, no_png]))

        assert page.values("alt") == ["latency", "a plot"]
        assert [each.text for each in page.all("figcaption")] == [["latency"], ["a plot"]]
        sources = [value.partition(",") for value in page.values("src")]
        assert [kind for kind, _, _ in sources] == [
            "data:image/svg+xml;base64",
            "data:image/png;base64",
        ]
        assert base64.b64decode(sources[0][2]) == b"<svg onload='x'/>"

    def test_the_name_of_an_object_is_no_caption(self, tmp_path: Path) -> None:
        """A figure that somebody drew without words has no caption."""
        forms = {"image/svg+xml": "<svg/>", "text/plain": "<Figure size 640x480 with 1 Axes>"}
        page = page_of(RunFolder(tmp_path, cells=[display(forms)]))

        assert page.values("alt") == ["figure"]
        assert not page.all("figcaption")

    def test_a_labs_table_is_a_table(self, tmp_path: Path) -> None:
        """A structured table has a caption and scoped heads; its tones are told by signs too."""
        table = {
            "caption": "Anomalies",
            "columns": ["anomaly", "at"],
            "rows": [["G0", {"text": "prevented", "tone": "good"}]],
            "notes": ["as published"],
        }
        page = page_of(RunFolder(tmp_path, cells=[display({TABLE_MEDIA_TYPE: table})]))

        assert ["Anomalies"] in [each.text for each in page.all("caption")]
        assert "✓ prevented" in page.text
        assert "as published" in page.text

    def test_a_malformed_table_is_plain_text(self, tmp_path: Path) -> None:
        """What only looks like a table is shown by its plain text."""
        cells = [display({TABLE_MEDIA_TYPE: {"rows": 1}, "text/plain": "the plain one"})]
        assert "the plain one" in page_of(RunFolder(tmp_path, cells=cells)).text

    def test_business_value_comes_first(self, tmp_path: Path) -> None:
        """The cell with the business value stands above the checks, its title being the page's."""
        value = prose("# Database transactions\n\n**Goal:** nothing is lost", "business-value")
        page = page_of(RunFolder(tmp_path, cells=[check_cell("rollback"), value]))

        assert page.text.index("nothing is lost") < page.text.index("the claim of rollback")
        assert page.text.count("nothing is lost") == 1
        assert page.text.count("Database transactions") == 2

    def test_a_missing_notebook_has_a_page(self, tmp_path: Path) -> None:
        """Where there is no document, the page tells what is known."""
        page = page_of(RunFolder(tmp_path, cells=None))
        assert "missing-notebook" in page.text

    def test_it_is_small(self, tmp_path: Path) -> None:
        """Five checks with 300 facts each and their prose make a page below 200 KB."""
        names = tuple(f"check_{number}" for number in range(5))
        facts = (HOLDS,) * 300
        cells = [
            part
            for name in names
            for part in (prose("Prose. " * 100), check_cell(name, facts=facts))
        ]
        run = read_run(RunFolder(tmp_path, checks=names, cells=cells).write())
        assert len(Pages(run).notebook(run.notebooks[0]).encode()) < 200_000


def test_checks_that_were_left_out_are_not_called_lost(tmp_path: Path) -> None:
    """They were deselected; the one that should have run is what left no record."""
    run = read_run(RunFolder(tmp_path, checks=("one", "two"), cells=[]).write())
    (book,) = run.notebooks
    left_out = replace(book.checks[0], outcome=Outcome.DESELECTED, reason="not-selected")
    for checks, headings in (
        (
            (left_out, book.checks[1]),
            ["Checks that were not executed", "Checks that left no record"],
        ),
        ((left_out,), ["Checks that were not executed"]),
    ):
        page = Page(Pages(run).notebook(replace(book, checks=checks)))
        titles = ["".join(each.text) for each in page.all("h2")]
        assert [title for title in titles if title.startswith("Checks that")] == headings


def test_index_tells_repetitions_apart(tmp_path: Path) -> None:
    """Each execution of a repeated notebook says which it is."""
    run = read_run(RunFolder(tmp_path, cells=[check_cell("rollback")]).write())
    (book,) = run.notebooks
    books = [replace(book, name=name, repeats="database") for name in ("database", "database-2")]
    other = replace(book, name="other")
    text = Page(Pages(replace(run, notebooks=(*books, other))).index()).text
    told = re.findall(r"repetition \d of \d", text)
    assert told == ["repetition 1 of 2", "repetition 2 of 2"]


def test_index_says_at_its_head_that_the_run_stopped_early(tmp_path: Path) -> None:
    """And shows no time for what was not executed."""
    detail = "red was red"
    folder = RunFolder(tmp_path, ending=Ending.DESELECTED, detail=detail)
    run = read_run(folder.write())
    books = tuple(replace(book, seconds=0.0) for book in run.notebooks)
    page = Page(Pages(replace(run, notebooks=books)).index())
    assert "Stopped early: red was red." in page.text.partition("Notebooks and their checks")[0]
    assert page.rows[-1][-1] == "—"


def test_what_a_check_needs_of_its_target(tmp_path: Path) -> None:
    """A check's section names what it touched; one that touched nothing says nothing of it."""
    needing = replace(record("rollback"), needs=("data.transaction", "tables.threads"))
    shown = page_of(RunFolder(tmp_path / "one", cells=[cell(started("rollback"), needing)]))
    assert "needs of the target: data.transaction, tables.threads" in shown.text
    silent = page_of(RunFolder(tmp_path / "two", cells=[check_cell("rollback")]))
    assert "needs of the target" not in silent.text


@pytest.mark.parametrize("make", [page_of, index_of])
def test_the_executed_notebook_is_linked_where_it_is_there(
    tmp_path: Path, make: Callable[[RunFolder], Page]
) -> None:
    """Both pages lead to the evidence itself; to one that is missing or withheld they do not."""
    there = RunFolder(tmp_path / "there", cells=[check_cell("rollback")])
    missing = RunFolder(tmp_path / "missing", cells=None)
    withheld = RunFolder(
        tmp_path / "withheld", cells=[], metadata={"labkit": {"withheld": "an output"}}
    )

    assert "database.ipynb" in make(there).values("href")
    assert "database.ipynb" not in make(missing).values("href")
    assert "database.ipynb" not in make(withheld).values("href")


def test_the_notebook_stands_before_what_it_ran_on(tmp_path: Path) -> None:
    """A reader meets the first sentence before versions and parameters."""
    defaults = new_code_cell("users: int = 5", metadata={"tags": ["parameters"]})
    page = page_of(RunFolder(tmp_path, cells=[prose("The first sentence."), defaults]))

    assert page.text.index("The first sentence.") < page.text.index("What it ran on")
    assert page.text.index("What it ran on") < page.text.index("Parameters")


@pytest.mark.parametrize("make", [page_of, index_of])
def test_where_a_line_may_break(tmp_path: Path, make: Callable[[RunFolder], Page]) -> None:
    """A name may be broken after its underscores, a date nowhere."""
    name = "no_row_is_left"
    page = make(RunFolder(tmp_path, checks=(name,), cells=[check_cell(name)]))
    whole = [each.text for each in page.elements if each.attributes.get("class") == "whole"]

    assert ["no_", "row_", "is_", "left"] in [code.text for code in page.all("code")]
    assert whole
    assert all(re.fullmatch(r"2026-03-05 14:03:2\d UTC", "".join(date)) for date in whole)


def test_a_notebook_called_index(tmp_path: Path) -> None:
    """A notebook called index does not take the place of the run's page."""
    notebook = read_run(RunFolder(tmp_path, cells=[]).write()).notebooks[0]
    assert page_name(notebook) == "database.html"
    assert page_name(replace(notebook, name="Index")) == "Index.notebook.html"


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_the_colours_can_be_told_apart(tmp_path: Path, scheme: int) -> None:
    """Every text colour stands out 4.5 to 1 from every ground it is set on, by light and dark."""
    style = Pages(read_run(RunFolder(tmp_path, cells=[]).write())).index()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    code = ["keyword", "string", "number", "comment", "name"]
    pairs = [
        (ink, ground) for ink in ("ink", "soft", "link") for ground in ("page", "card", "well")
    ]
    pairs += [(kind, f"{kind}-bg") for kind in ("good", "bad", "broken", "odd", "calm")]
    pairs += [(kind, "well") for kind in code] + [
        ("good", "card"),
        ("bad", "card"),
        ("ink", "bad-bg"),
    ]

    low = [(one, other) for one, other in pairs if _contrast(colours[one], colours[other]) < 4.5]
    assert not low
