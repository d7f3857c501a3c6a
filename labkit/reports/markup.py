"""The only place where markup is made from what a notebook holds; all else is escaped text.

Markdown is rendered without raw HTML and without images, and its links lead to the web or into the
page alone. Images become data inside the page, SVG in a form in which browsers run nothing of it.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from labkit.reports.document import Display
from labkit.reports.texts import LIMIT, one_line, plain

_LINK: Final = re.compile(r"(https?://|#)", re.IGNORECASE)
_PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Html:
    """Markup that is safe to stand in a page as it is; templates escape everything else."""

    text: str

    def __html__(self) -> str:
        return self.text


def markdown(source: str) -> Html:
    """Markdown as HTML, its headings one level below the page's own."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(plain(source))
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1:]) + 1, 6)}"
        token.children = _tamed(token.children or [])
    return Html(parser.renderer.render(tokens, parser.options, {}))


def _tamed(inline: Sequence[Token]) -> list[Token]:
    """Inline tokens with words in the place of images and links that give nothing away."""
    for token in inline:
        if token.type == "link_open":
            goal = str(token.attrGet("href"))
            may = _LINK.match(goal) is not None
            token.attrs = {"href": goal, "rel": "noreferrer noopener"} if may else {}
    return [_worded(token) if token.type == "image" else token for token in inline]


def _worded(image: Token) -> Token:
    return Token("text", "", 0, content=f"[image: {image.content}]")


def python(source: str) -> Html:
    """Python source as HTML whose classes the pages' style sheet colours."""
    return Html(highlight(plain(source), PythonLexer(), HtmlFormatter(nowrap=True)))


def identifier(text: str, limit: int = LIMIT) -> Html:
    """The text on one line, escaped, that may be broken after each underscore."""
    return Html(html.escape(one_line(text, limit)).replace("_", "_<wbr>"))


def dotted(text: str) -> Html:
    """The name of a module or class on one line, escaped, broken between its parts alone."""
    return Html(re.sub(r"([.:])(?=\w)", r"\1<wbr>", html.escape(one_line(text))))


def image(display: Display) -> Html | None:
    """The output's picture with its data inside, over its words; None when it has none."""
    for media_type, data in (("image/svg+xml", _svg(display)), ("image/png", _png(display))):
        if data is not None:
            text = base64.b64encode(data).decode("ascii")
            words = _picture_words(display, media_type)
            caption = f"<figcaption>{html.escape(words)}</figcaption>" if words else ""
            alt = html.escape(words or "figure")
            img = f'<img src="data:{media_type};base64,{text}" alt="{alt}">'
            return Html(f"<figure>{img}{caption}</figure>")
    return None


def _picture_words(display: Display, media_type: str) -> str:
    """What the picture shows; empty where its plain text is only the name of an object."""
    words = display.description(media_type) or display.text("text/plain") or ""
    return "" if words.startswith("<Figure ") else one_line(words, 300)


def _svg(display: Display) -> bytes | None:
    text = display.text("image/svg+xml")
    return text.encode(errors="replace") if text else None


def _png(display: Display) -> bytes | None:
    text = display.text("image/png")
    try:
        data = base64.b64decode("".join((text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data.startswith(_PNG) else None
