"""A record's page shows what the record says and lets no payload become markup."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from labkit.record_view import mime_bundle, plain_text
from labkit.records import (
    MEDIA_TYPE,
    CheckRecord,
    CheckStarted,
    Expectation,
    LabClosed,
    LabOpened,
    Outcome,
    Record,
    ServiceVersion,
    record_to_json,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "'><a href='javascript:alert(1)'>go</a>",
    "</td></table></pre><style>*{display:none}</style>",
    "<!-- -->&lt;b&gt;<![CDATA[ <iframe src=//evil.example>",
)


class Page(HTMLParser):
    """What a browser would find: elements, their attributes and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.elements.add(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:  # noqa: D102
        self.text += data

    def handle_comment(self, data: str) -> None:  # noqa: D102
        pytest.fail(f"a payload became a comment: {data}")


def record(text: str, *, rows: int = 1, holds: bool = False) -> CheckRecord:
    """A check's record with the text in every member that holds text."""
    row = Expectation(text, text, text, holds=holds, reason=text)
    return CheckRecord(
        name=text,
        claim=text,
        outcome=Outcome.PASSED if holds else Outcome.FAILED,
        reason=text,
        detail=text,
        expectations=(row,) * rows,
        notes=(text,),
        started_at=1.0,
        seconds=0.25,
    )


def records(text: str) -> tuple[Record, ...]:
    """Each kind of record, with the text wherever text can stand."""
    version = ServiceVersion(text, text, text, text, (text,))
    return (
        CheckStarted(text, text, 1.0, 30.0),
        record(text),
        LabOpened(text, text, text, 1, text, (version,), ((text, text),), 1.0),
        LabClosed(Outcome.FAILED, 1.0),
    )


@pytest.mark.parametrize("payload", HOSTILE)
def test_no_payload_becomes_markup(payload: str) -> None:
    """Hostile text stays text in every kind of record; only the view's own elements are there."""
    own = {"p", "strong", "pre", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    styles = {("scope", "col"), ("style", "text-align:left")}
    for one in records(payload):
        page = Page(mime_bundle(one)["text/html"])
        assert page.elements <= own
        assert page.attributes <= styles
        assert isinstance(one, LabClosed) or payload in page.text


def test_a_bundle_has_the_record_itself() -> None:
    """What is read back from a notebook stands beside what people see."""
    for one in records("text"):
        bundle = mime_bundle(one)
        assert bundle[MEDIA_TYPE] == record_to_json(one)
        assert bundle["text/plain"] == plain_text(one)


def test_tells_outcome_reason_and_every_row() -> None:
    """A reader sees how it ended, how much held and each fact, in HTML and in plain text."""
    failed = replace(
        record("x"),
        name="nothing_is_left",
        reason="partial-write",
        detail="1 of 2",
        expectations=(
            Expectation("users", "[]", "[]", holds=True, reason="a"),
            Expectation("threads", "0", "1", holds=False, reason="b"),
        ),
        notes=("seed 7",),
    )
    told = "✗ failed (partial-write): nothing_is_left: 1 of 2 expectations hold, 0.25 s"
    assert plain_text(failed).splitlines() == [
        told,
        "  ✗ threads: expected 0, got 1",
        "  ✓ users: expected [], got []",
        "  1 of 2",
        "  note: seed 7",
    ]
    page = Page(mime_bundle(failed)["text/html"])
    assert told in page.text
    assert "✗threads01✓users[][]" in page.text
    assert "seed 7" in page.text


def test_long_tables_are_capped_with_the_count() -> None:
    """A thousand rows do not flood the page: what fails comes first, the rest is counted."""
    held = record("held", rows=1_000, holds=True)
    long = replace(held, expectations=(*held.expectations, *record("missed").expectations))
    plain = plain_text(long)
    assert len(plain.splitlines()) < 60
    assert "✗ missed" in plain.splitlines()[1]
    assert "951 more rows in the record" in plain
    page = mime_bundle(long)["text/html"]
    assert page.count("<tr>") == 51
    assert "951 more rows in the record" in page


def test_long_values_are_capped_with_the_count() -> None:
    """A row stays a row, however long its values are."""
    bundle = mime_bundle(replace(record("x" * 20_000, rows=50), detail=""))
    assert len(bundle["text/plain"]) < 200_000
    assert len(bundle["text/html"]) < 200_000
    assert "x… (20,000 characters)" in bundle["text/html"]


def test_a_value_cannot_pass_for_another_row() -> None:
    """Line ends and terminal controls are written out, so that no value imitates the view."""
    forged = replace(record("1\n✓ passed: other\x1b[2K\u202e"), name="n", reason="r")
    rows = [line for line in plain_text(forged).splitlines() if not line.startswith("  ")]
    assert rows == ["✗ failed (r): n: 0 of 1 expectations hold, 0.25 s"]
    assert "\x1b" not in plain_text(forged)
    assert "1\\n✓ passed: other\\x1b[2K\\u202e" in Page(mime_bundle(forged)["text/html"]).text
