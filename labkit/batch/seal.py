"""The end of a run's folder: nothing in it holds a secret, or it says so and nothing else.

Notebooks and journal are searched first, then the reports that are built from them. A file that
holds a secret is replaced by a note of where it was found, and the run ends with exit code 5.
"""

from __future__ import annotations

import time
from pathlib import Path

import nbformat
from nbformat.reader import NotJSONError
from papermill.execute import remove_error_markers

from labkit.batch.plan import Job
from labkit.batch.recorder import Recorder
from labkit.file_scan import scan
from labkit.journal import RunEnded, SecretFound
from labkit.redaction import Finding, Redactor
from labkit.reports.build import Further, build_reports, update_latest
from labkit.reports.read import JOURNAL
from labkit.reports.results import RunResult
from labkit.reports.withheld import withheld_note


def finish_notebook(path: Path, job: Job, redactor: Redactor) -> None:
    """Give an executed notebook its last form.

    Paths of this machine and papermill's own error cells, which shift the others, are taken out,
    and secrets out of its metadata. A notebook that was never written, or not to its end, stays so.
    """
    try:
        read = nbformat.read(path, as_version=4)
    except (FileNotFoundError, NotJSONError):
        return
    notebook = remove_error_markers(read)
    paths = {"input_path": job.written, "output_path": path.name}
    notebook.metadata.setdefault("papermill", {}).update(paths)
    notebook.metadata = nbformat.from_dict(redactor.value(notebook.metadata))
    unfinished = path.with_suffix(".part")
    nbformat.write(notebook, unfinished)
    unfinished.replace(path)


def seal(folder: Path, recorder: Recorder, further: Further | None = None) -> RunResult:
    """Search the run's files for secrets, end the journal, and build the reports and further ones.

    Returns what the reports say. Raises `InfrastructureError` where one cannot be written.
    """
    notebooks = sorted(path for path in folder.glob("*.ipynb") if path.is_file())
    _withhold(folder, notebooks, recorder)
    recorder.record(RunEnded(time.time()))
    _withhold(folder, [folder / JOURNAL], recorder)
    result = build_reports(folder, further)
    inputs = {*notebooks, folder / JOURNAL}
    reports = sorted(path for path in folder.rglob("*") if path.is_file() and path not in inputs)
    if _withhold(folder, reports, recorder):
        result = build_reports(folder, further)
    update_latest(folder)
    return result


def _withhold(folder: Path, paths: list[Path], recorder: Recorder) -> bool:
    found, redactor = False, recorder.knowing_all()
    for path in paths:
        findings = scan(path, redactor)
        if findings:
            found = True
            where = _where(findings)
            name = path.relative_to(folder)
            # The journal's note says the same, in the place of all that was told before.
            recorder.record(SecretFound(time.time(), str(name), where))
            path.write_bytes(withheld_note(name, where))
    return found


def _where(findings: tuple[Finding, ...]) -> str:
    first, more = findings[0], len(findings) - 1
    place = first.place or "the file"
    others = f", and {more} more" if more else ""
    return f"a secret, {first.form}, in {place}, line {first.line}{others}"
