"""A page taken apart by an HTML parser: what a browser would find in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from labkit.reports.html import Pages
from labkit.reports.read import read_run
from tests.reports.runs import RunFolder

_VOID = frozenset({"meta", "img", "br", "hr", "wbr"})


@dataclass(frozen=True)
class Element:
    """A start tag with its attributes, and the text directly inside it."""

    tag: str
    attributes: dict[str, str]
    text: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """All elements of a page in order; raises `AssertionError` where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.rows: list[list[str]] = []
        """The texts of each table row, cell by cell."""
        self.text = ""
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def all(self, tag: str) -> list[Element]:
        """All elements of one kind."""
        return [element for element in self.elements if element.tag == tag]

    def values(self, attribute: str) -> list[str]:
        """The values of an attribute, wherever it stands."""
        found = [element.attributes.get(attribute) for element in self.elements]
        return [value for value in found if value is not None]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag == "tr":
            self.rows.append([])
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be of this kind."""
        assert self._open, f"nothing is open at </{tag}>"
        assert self._open[-1].tag == tag, f"<{self._open[-1].tag}> is closed by </{tag}>"
        element = self._open.pop()
        if tag in {"td", "th"}:
            self.rows[-1].append("".join(element.text).strip())

    def handle_data(self, data: str) -> None:
        """Give the text to the innermost element."""
        if self._open and self._open[-1].tag != "style":
            self.text += data
            self._open[-1].text.append(data)


def page_of(folder: RunFolder) -> Page:
    """The page of the folder's notebook."""
    run = read_run(folder.write())
    return Page(Pages(run).notebook(run.notebooks[0]))


def index_of(folder: RunFolder) -> Page:
    """The page of the folder's run."""
    return Page(Pages(read_run(folder.write())).index())
