"""All pages, parsed as a browser would: nothing in them can act, and each can be read."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
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
from tests.reports.pages import Page, index_of, page_of
from tests.reports.runs import PNG, RunFolder, cell, check_cell, display, prose, record

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
