"""Where commands write: plain texts, to people at terminals and to programs behind pipes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

_UNBROKEN: Final = 1_000
"""As wide as no line is: what goes through a pipe is searched, and is not broken to fit a page."""

_NARROWEST: Final = 20
"""Fewer columns hold no words; the terminal breaks the lines then."""


class SteadyConsole(Console):
    """A console that falls silent when nobody reads it any more, while its command goes on."""

    def _check_buffer(self) -> None:
        """Write what is buffered; a terminal that was closed is as good as a broken pipe."""
        try:
            super()._check_buffer()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Lead the rest of the stream, also what is still buffered, to nowhere."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def console(*, stderr: bool = False) -> Console:
    """A console that shows texts as they are; on stdout unless told otherwise."""
    made = SteadyConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _UNBROKEN
    return made


def near(path: Path) -> str:
    """The path as a user here would write it: relative to the working folder if it lies in it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def print_hanging(out: Console, head: Text, body: Text) -> None:
    """Print the body beside the head, its further lines indented by the head's width."""
    indent = head.cell_len
    lines = body.wrap(out, max(out.width - indent, _NARROWEST))
    for number, line in enumerate(lines):
        beside = Text(" " * indent) if number else head
        out.print(Text.assemble(beside, line), soft_wrap=True)
