"""The Markdown summary, rendered as a CI page would."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from labkit.journal import Ending, RunResumed
from labkit.records import Expectation, Outcome
from labkit.reports.read import read_run
from labkit.reports.summary import LIMIT_BYTES, code, escaped, summary_md
from tests.reports.runs import AT, HOLDS, MISSES, RunFolder, check_cell

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](https://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "a | b || c",
    "``` `x` ```",
    "*bold* _it_ # no heading\n# nor this",
    "<!-- hidden",
    "&lt;b&gt;",
    "1. no list",
    "2026) no list",
    "- no list",
    "+ no list",
    "> no quote",
    "no closing hash #",
    "__init__ of _a_b_",
    "=====",
]


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        """Note the tag."""
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.said += data


def summary_of(folder: RunFolder) -> str:
    """The summary of the folder's run."""
    return summary_md(read_run(folder.write()))


def rendered(text: str) -> Tags:
    """Markdown with raw HTML allowed, which is the worst case."""
    return Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def test_a_green_run(tmp_path: Path) -> None:
    """A green run's summary is its verdict and its table, with nothing red."""
    text = summary_of(RunFolder(tmp_path, cells=[check_cell("rollback")]))
    assert text.startswith("# ✓ 1 of 1 check passed\n")
    assert "not green" not in text


def test_it_tells_that_the_run_stopped_early_and_was_resumed(tmp_path: Path) -> None:
    """The one at its head, the other among its notes."""
    resumed = RunResumed(AT, ("database",))
    early = RunFolder(tmp_path, ending=Ending.DESELECTED, detail="red was red", entries=(resumed,))
    text = summary_of(early)
    assert "Stopped early: red was red." in text.partition("## Notebooks")[0]
    notes = text.partition("## Notes\n")[2]
    assert "- the run was ended early and resumed on 2026-03-05 14:03:22 UTC" in notes


def test_what_is_red_comes_before_the_table(tmp_path: Path) -> None:
    """A failure is told with its first missed fact, before the table of notebooks."""
    facts = (HOLDS, MISSES)
    text = summary_of(RunFolder(tmp_path, cells=[check_cell("rollback", Outcome.FAILED, facts)]))

    assert text.startswith("# ✗ 1 check failed: rollback\n")
    assert "expected ` 0 `, got ` 1 ` (1 of 2 expectations did not hold)" in text
    assert text.index("What is not green") < text.index("## Notebooks")


@pytest.mark.parametrize("payload", HOSTILE)
def test_payloads_mean_themselves(tmp_path: Path, payload: str) -> None:
    """No payload becomes markup in any place of the summary."""
    fact = Expectation(payload, payload, payload, holds=False, reason=payload)
    cells = [check_cell("rollback", Outcome.FAILED, (fact,))]
    page = rendered(summary_of(RunFolder(tmp_path, cells=cells, title=payload)))

    assert not page.tags & {"script", "img", "a", "em", "strike"}


@pytest.mark.parametrize("payload", HOSTILE)
def test_an_escaped_text(payload: str) -> None:
    """An escaped text reads as it was, on one line."""
    page = rendered(escaped(payload))
    assert page.said.strip() == " ".join(payload.split())
    assert page.tags == {"p"}


@pytest.mark.parametrize(
    "text",
    ["28.2 s", "2026-11-22 14:03:22 UTC", "PostgreSQL 18.4", "1 failed: a_b (why?) + c!", "x = 1"],
)
def test_what_markdown_leaves_alone_is_not_escaped(text: str) -> None:
    """Who reads the summary as text reads no needless backslash."""
    assert escaped(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://evil.example", r"https\://evil.example"),
        ("www.evil.example", r"www\.evil.example"),
        ("thanks @somebody", r"thanks \@somebody"),
        ("see #12 and :tada:", r"see \#12 and \:tada:"),
        ("$x$ ~~y~~", r"\$x\$ \~\~y\~\~"),
    ],
)
def test_what_a_ci_page_adds_to_markdown_is_escaped(text: str, safe: str) -> None:
    """A bare address, a mention, an issue, an emoji and a formula stay what they are."""
    assert escaped(text) == safe


@pytest.mark.parametrize("payload", ["`", "``x`", "` a", "a `", "x"])
def test_a_code_span(payload: str) -> None:
    """A code span holds any number of backticks."""
    page = rendered(code(payload))
    assert page.said.strip() == payload.strip()
    assert page.tags == {"p", "code"}


def test_an_immense_run_fits(tmp_path: Path) -> None:
    """The summary of thousands of failed checks with long texts is cut where CI would drop it."""
    names = tuple(f"check_{number}_{'x' * 250}" for number in range(3000))
    folder = RunFolder(tmp_path, checks=names, cells=[])
    text = summary_of(folder)

    assert len(text.encode()) < LIMIT_BYTES + 100
    assert "cut here; all is in `results.json`" in text
    assert "more; all are in `results.json`" in text
