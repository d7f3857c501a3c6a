"""What a person sees while a run goes on: notebook, check, time.

On a terminal the running line is redrawn; elsewhere, as in a CI job's log, each event is a line.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sized
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from labkit.journal import (
    CatchesKnown,
    CheckBegan,
    CheckEnded,
    CheckKilled,
    Ending,
    Entry,
    InfrastructureFailed,
    LeaseNote,
    NotebookEnded,
    NotebookStarted,
    ProofStarted,
    RunCancelled,
    RunEnded,
    RunResumed,
    RunStarted,
    SecretFound,
    ServicesReady,
)
from labkit.record_view import SYMBOLS
from labkit.records import Outcome
from labkit.reports.texts import counted

_STYLES: Final = {
    Outcome.PASSED: "green",
    Outcome.SKIPPED: "cyan",
    Outcome.DESELECTED: "dim",
    Outcome.UNKNOWN: "yellow",
    Outcome.FAILED: "red",
    Outcome.BROKEN: "bold red",
}


class Progress(Protocol):
    """Follows a run, entry by entry; called from several threads, one at a time."""

    def __call__(self, entry: Entry) -> None:
        """Show one entry."""


@functools.singledispatch
def describe(_entry: Entry) -> Text | None:
    """The line for an entry; None for what needs none of its own."""
    return None


@describe.register
def _(entry: RunStarted) -> Text:
    books = {book.repeats or book.name: book for book in entry.notebooks}
    checks = [check for book in books.values() for check in book.checks]
    asked_for = [check for check in checks if check.is_selected]
    begun = [book for book in books.values() if any(check.is_selected for check in book.checks)]
    told = f"{_part(begun, books, 'notebook')}, {_part(asked_for, checks, 'check')}"
    times = len(entry.notebooks) // max(len(books), 1)
    often = f", {times} times each" if times > 1 else ""
    return Text(f"run {entry.run}: {told}{often}", style="bold")


@describe.register
def _(entry: RunResumed) -> Text:
    told = f"the run goes on: {counted(len(entry.notebooks), 'notebook')} without a result"
    return Text(told, style="bold")


@describe.register
def _(entry: ServicesReady) -> Text:
    servers = (f"{one.product} {one.version} ({one.origin})" for one in entry.services)
    return Text(f"services: {', '.join(servers)}")


@describe.register
def _(entry: NotebookStarted) -> Text:
    return Text(entry.notebook, style="bold")


@describe.register
def _(entry: CheckEnded) -> Text:
    why = f" ({entry.reason})" if entry.reason else ""
    line = Text("  ")
    line.append(f"{SYMBOLS[entry.outcome]} {entry.outcome}{why}", style=_STYLES[entry.outcome])
    return line.append(f" {entry.check} {entry.seconds:.1f} s")


@describe.register
def _(entry: CheckKilled) -> Text:
    told = f"  {entry.check} resisted its deadline of {entry.deadline_s:g} s: kernel killed"
    return Text(told, style="bold red")


@describe.register
def _(entry: NotebookEnded) -> Text:
    if entry.ending is Ending.REACHED_THE_END:
        return Text(f"  {entry.notebook} reached its end in {entry.seconds:.1f} s", style="dim")
    style = "dim" if entry.ending is Ending.DESELECTED else "bold red"
    return Text(f"  {entry.notebook}: {entry.ending}: {entry.detail}", style=style)


@describe.register
def _(entry: LeaseNote) -> Text:
    return Text(entry.text, style="yellow")


@describe.register
def _(entry: RunCancelled) -> Text:
    return Text(f"{entry.signal}: ending the run in order", style="yellow")


@describe.register
def _(entry: InfrastructureFailed) -> Text:
    return Text(entry.detail, style="bold red")


@describe.register
def _(entry: SecretFound) -> Text:
    return Text(f"{entry.file} held a secret and was withheld", style="bold red")


def _part(some: Sized, of_all: Sized, noun: str) -> str:
    """How many, such as `31 checks`, or `2 of 31 checks` where that is not all of them."""
    told = counted(len(of_all), noun)
    return told if len(some) == len(of_all) else f"{len(some)} of {told}"


Describe = Callable[[Entry], Text | None]
"""Gives the line for an entry; None for what needs none of its own."""


@contextlib.contextmanager
def progress(console: Console, describe: Describe = describe) -> Iterator[Progress]:
    """The display that fits the console, for as long as the block runs."""
    running = _Running(describe)
    if not console.is_terminal:
        yield _Lines(console, running)
        return
    with Live(console=console, refresh_per_second=10, transient=True) as live:
        yield _Screen(live, running)


class _Running:
    """The notebooks that run, each with what it is at; several may run at the same time."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._at: dict[str, _GoingOn] = {}

    def follow(self, entry: Entry) -> None:
        """Take note of what an entry tells of a notebook."""
        match entry:
            case NotebookStarted():
                self._at[entry.notebook] = _GoingOn(f"{entry.notebook}: starting its kernel")
            case CheckBegan():
                self._at[entry.notebook] = _GoingOn(f"{entry.notebook}: {entry.check}")
            case CheckEnded() | CheckKilled():
                self._at[entry.notebook] = _GoingOn(entry.notebook)
            case NotebookEnded():
                self._at.pop(entry.notebook, None)
            case RunEnded() | InfrastructureFailed():
                self._at.clear()

    def line(self, entry: Entry) -> Text | None:
        """The line for an entry; with its notebook, where one could take it for another's."""
        line = self._describe(entry)
        if line is not None and len(self._at) > 1 and isinstance(entry, CheckEnded):
            line.append(f" in {entry.notebook}", style="dim")
        return line

    @property
    def lines(self) -> tuple[RenderableType, ...]:
        """What is going on, a line for each notebook, in the order in which they began."""
        return tuple(self._at.values())


class _Lines:
    """Prints a line for each entry."""

    def __init__(self, console: Console, running: _Running) -> None:
        self._console = console
        self._running = running

    def __call__(self, entry: Entry) -> None:
        line = self._running.line(entry)
        self._running.follow(entry)
        if line is not None:
            self._console.print(line, soft_wrap=True)


class _Screen:
    """Prints finished things above lines that say what is going on, and for how long."""

    def __init__(self, live: Live, running: _Running) -> None:
        self._live = live
        self._running = running

    def __call__(self, entry: Entry) -> None:
        line = self._running.line(entry)
        self._running.follow(entry)
        if line is not None:
            self._live.console.print(line)
        self._live.update(Group(*(self._running.lines or self._otherwise(entry))))

    def _otherwise(self, entry: Entry) -> tuple[RenderableType, ...]:
        match entry:
            case RunStarted() | RunResumed() | CatchesKnown() | ProofStarted():
                return (_GoingOn("starting the services"),)
            case ServicesReady() | LeaseNote():
                return (_GoingOn("preparing"),)
            case _:
                return ()


class _GoingOn:
    """A living line: what is going on, and for how many seconds since it was first said."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._since = time.monotonic()
        self._spinner = Spinner("dots")

    def __rich__(self) -> Spinner:
        seconds = time.monotonic() - self._since
        self._spinner.update(text=Text(f"{self._text} {seconds:.0f} s"))  # not read as markup
        return self._spinner
