"""Builds all reports of a run: the same bytes from the same notebooks and journal, at any time.

Clock, environment and services are not asked; times and versions are those that the run recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from labkit.errors import InfrastructureError, UsageError
from labkit.reports.html import Pages, page_name
from labkit.reports.junit import junit_xml
from labkit.reports.read import read_run
from labkit.reports.results import RunResult
from labkit.reports.results_json import results_json
from labkit.reports.summary import summary_md
from labkit.reports.withheld import withheld_note

LATEST: Final = "latest"
"""The name, beside the runs, under which the newest one is found."""


Further = Callable[[RunResult], Iterable[tuple[str, bytes]]]
"""Makes further reports of a run: the names of their files, and what is in them."""


def build_reports(run_folder: Path, further: Further | None = None) -> RunResult:
    """Write all reports of a run into its folder, `further` ones too, and return what they say.

    A report in which the journal says that a secret was found becomes a note. Raises `UsageError`
    when the folder has no readable journal, and `InfrastructureError` where a report cannot be
    written.
    """
    run = read_run(run_folder)
    withheld = {secret.file: secret.where for secret in run.secrets}
    for name, content in (*_reports(run), *(further(run) if further else ())):
        path = run_folder / name
        where = withheld.get(name)
        _replace(path, content if where is None else withheld_note(path, where))
    return run


def _reports(run: RunResult) -> Iterator[tuple[str, bytes]]:
    """Names and contents; what a person opens first comes last, when all it links to is there."""
    yield "results.json", encoded(results_json(run))
    if run.proof is None:  # to CI, what a proof wants red would be a failure
        yield "junit.xml", junit_xml(run)
        yield "summary.md", encoded(summary_md(run))
    pages = Pages(run)
    for notebook in run.notebooks:
        yield page_name(notebook), encoded(pages.notebook(notebook))
    yield "index.html", encoded(pages.index())


def encoded(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which JSON can hold, stands there as its escape."""
    return text.encode(errors="backslashreplace")


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new one, never half of it."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        text = f"{path} cannot be written: {error.strerror}"
        raise InfrastructureError(
            f"{text}; once it can, labkit report {path.parent} makes the reports"
        ) from error


def require_latest(output_root: Path) -> None:
    """Raise `UsageError` where a folder of its own stands where `latest` is to lead to a run."""
    latest = output_root / LATEST
    try:
        is_folder = latest.is_dir() and not latest.is_symlink()
    except OSError:  # whoever makes something there is told why that cannot be
        return
    if is_folder:
        raise UsageError(
            f"{latest} is a folder of its own: move it away, the lab keeps a link there"
        )


def update_latest(run_folder: Path) -> None:
    """Let `latest`, beside the run's folder, lead to it.

    It is a relative link; where links are not allowed, a file with the run's name. Raises
    `UsageError` when something else of that name is in the way.
    """
    require_latest(run_folder.parent)
    latest = run_folder.parent / LATEST
    unfinished = latest.with_name(f".{LATEST}.{run_folder.name}")
    unfinished.unlink(missing_ok=True)
    try:
        unfinished.symlink_to(run_folder.name)
    except (OSError, NotImplementedError):
        unfinished.write_text(f"{run_folder.name}\n", encoding="utf-8")
    unfinished.replace(latest)
