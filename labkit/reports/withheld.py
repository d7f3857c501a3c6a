"""Notes that stand in the place of a file which held a secret.

Each note is valid for its kind of file, and none can be taken for a good result.
"""

from __future__ import annotations

import html
import json
from pathlib import Path

from junitparser import Error, JUnitXml, TestCase, TestSuite

from labkit.journal import SecretFound, entry_to_line
from labkit.reports.junit import to_bytes
from labkit.reports.summary import code
from labkit.reports.texts import one_line


def withheld_note(path: Path, where: str) -> bytes:
    """What replaces the file at `path`, in which a secret was found at `where`.

    `where` names a place and a form, never the secret. A withheld `journal.ndjson` still tells that
    a secret was found, a withheld `junit.xml` is an error, and a withheld notebook is a notebook
    whose metadata say so (`labkit.withheld`).
    """
    said = f"{path.name} held a secret and was withheld ({one_line(where)})."
    match path.suffix:
        case ".ipynb":
            text = _notebook(where, said)
        case ".html":
            text = _page(said)
        case ".xml":
            return _junit(said)
        case ".json":
            text = json.dumps({"withheld": said}, indent=1, ensure_ascii=False)
        case ".ndjson":
            text = entry_to_line(SecretFound(at=0.0, file=path.name, where=where))
        case ".md":
            text = f"# Withheld\n\n{code(said)}"
        case _:
            text = said
    return (text + "\n").encode(errors="backslashreplace")


def _notebook(where: str, said: str) -> str:
    cell = {
        "cell_type": "markdown",
        "id": "withheld",
        "metadata": {},
        "source": f"# Withheld\n\n{code(said)}",
    }
    book = {
        "cells": [cell],
        "metadata": {"labkit": {"withheld": where}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(book, indent=1, ensure_ascii=False)


def _page(said: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
        f"<title>Withheld</title></head><body><main><h1>Withheld</h1>"
        f"<p>{html.escape(said)}</p></main></body></html>"
    )


def _junit(said: str) -> bytes:
    case = TestCase("withheld", "labkit", 0.0)
    case.result = Error(said, "secret")
    suite = TestSuite("labkit")
    suite.add_testcases([case])
    xml = JUnitXml("labkit")
    xml.add_testsuite(suite)
    return to_bytes(xml)
