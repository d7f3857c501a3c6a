"""What stands in a figure: its texts, and where its marks and bars lie."""

from __future__ import annotations

import re
from html import unescape

from labkit.display import Picture


def texts(picture: Picture) -> list[str]:
    """The texts of a figure, as they can be read and searched."""
    return [unescape(found) for found in re.findall(r"<text [^>]*>([^<]*)</text>", picture.svg)]


def marks(picture: Picture, style: str) -> list[tuple[float, float]]:
    """Where marks lie whose style begins so, x and y in points from the upper left."""
    found = re.findall(rf'<use [^>]*x="([-\d.]+)" y="([-\d.]+)" style="{style}', picture.svg)
    return [(float(x), float(y)) for x, y in found]


def bars(picture: Picture, colour: str) -> list[tuple[float, float]]:
    """The left and right ends of the bars of a colour in points, the end a bar begins at first."""
    sought = (
        rf'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [^"]*" clip-path="[^"]*" style="fill: {colour}"'
    )
    return [(float(left), float(right)) for left, right in re.findall(sought, picture.svg)]
