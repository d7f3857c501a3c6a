"""Tables as a terminal, a page and a report get them, and as they are read back."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from labkit.errors import RecordError
from labkit.tables import MEDIA_TYPE, Cell, Table, Tone, table_from_json

TABLE = Table(
    "Who did what",
    ("who", "what"),
    (("ann", Cell("read\n→ 2 rows", Tone.GOOD)), (Cell("bob", Tone.MUTED), "<b>&amp;</b>")),
    ("A note.",),
)


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag."""
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style", "scope"}

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


def test_a_table_travels_in_three_forms() -> None:
    """Plain text, HTML and data come together, so that each reader takes its own."""
    bundle = TABLE._repr_mimebundle_(include=None, exclude=None)

    assert set(bundle) == {"text/plain", "text/html", MEDIA_TYPE}


def test_a_tables_data_is_what_reports_read() -> None:
    """The report's own reader takes the data, tones and line breaks included."""
    assert table_from_json(TABLE.to_json()) == replace(
        TABLE,
        rows=(
            (Cell("ann"), Cell("read\n→ 2 rows", Tone.GOOD)),
            (Cell("bob", Tone.MUTED), Cell("<b>&amp;</b>")),
        ),
    )


def test_plain_text_is_aligned() -> None:
    """A terminal gets columns of one width, and one line for each row."""
    assert TABLE.text().splitlines() == [
        "Who did what",
        "",
        "who  what",
        "---  -------------",
        "ann  read → 2 rows",
        "bob  <b>&amp;</b>",
        "A note.",
    ]


def test_a_table_without_rows_is_a_table() -> None:
    """Nothing to show is shown as nothing."""
    assert replace(TABLE, rows=()).text().splitlines()[2:4] == ["who  what", "---  ----"]


def test_nothing_in_a_cell_is_markup() -> None:
    """A page shows a cell's text as it is: no tag, entity or style of it takes effect."""
    hostile = "</td><script>alert(1)</script><img src=x onerror=y>\"'&lt;"
    page = Tags()
    page.feed(replace(TABLE, caption=hostile, rows=((hostile, hostile),), notes=(hostile,)).html())

    assert page.text.count(hostile) == 4
    assert not {"script", "img"} & set(page.tags)


def test_line_breaks_of_a_cell_are_kept_on_a_page() -> None:
    """A cell of two lines has a break between them."""
    assert "read<br>→ 2 rows" in TABLE.html()


DATA = {
    "caption": "Anomalies",
    "columns": ["anomaly", "serializable"],
    "rows": [["G0", {"text": "prevented", "tone": "good"}]],
    "notes": ["as published"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [["G0"]]},
        {"rows": [["G0", 1]]},
        {"rows": ["G0"]},
        {"rows": None},
        {"rows": [["G0", {"text": "x", "tone": "loud"}]]},
        {"rows": [["G0", {"text": "x", "tone": "good", "href": "#"}]]},
        {"columns": [], "rows": []},
        {"caption": None},
        {"surplus": 1},
    ],
)
def test_what_only_looks_like_a_table(change: dict[str, object]) -> None:
    """A table with a member too many, too few or of another type is refused."""
    with pytest.raises(RecordError):
        table_from_json({**DATA, **change})


def test_what_is_no_object() -> None:
    """Anything else than an object is refused."""
    with pytest.raises(RecordError, match="must be a JSON object"):
        table_from_json([DATA])
