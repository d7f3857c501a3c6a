"""Secrets are found in files as text, and in JSON also behind its escapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.file_scan import scan
from labkit.redaction import MASK, Finding, Form, Redactor, Secret


def found_in(path: Path, content: str | bytes, *values: str) -> tuple[Finding, ...]:
    """What a scan for the values finds in a file with the content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return scan(path, Redactor(map(Secret, values)))


def test_a_file_is_scanned_as_text(tmp_path: Path) -> None:
    """Bytes that are no text do not stop the scan."""
    findings = found_in(tmp_path / "x.html", b"\xff\xfe\n\x00v4lue-of-mine", "v4lue-of-mine")
    assert findings == (Finding(Form.RAW, line=2, offset=4),)


def test_a_clean_file_gives_nothing(tmp_path: Path) -> None:
    """Also when it is JSON in which masks stand."""
    assert found_in(tmp_path / "x.json", json.dumps([MASK, {MASK: 1}]), "v4lue-of-mine") == ()


def test_a_secret_split_over_a_notebooks_lines_is_found(tmp_path: Path) -> None:
    """A notebook's texts are lists of lines; the finding names the place in the notebook."""
    output = {"text": ["says two\n", "lines-of-it\n", "end"]}
    notebook = {"cells": [{"outputs": []}, {"outputs": [output, {"tb": ["two", "lines-of-it"]}]}]}
    findings = found_in(tmp_path / "x.ipynb", json.dumps(notebook, indent=1), "two\nlines-of-it")
    assert {(finding.place, finding.line, finding.offset) for finding in findings} == {
        ("/cells/1/outputs/0/text", 1, 5),
        ("/cells/1/outputs/1/tb", 1, 0),
    }


def test_odd_escapes_in_json_hide_nothing(tmp_path: Path) -> None:
    """Values, keys and each line of NDJSON are decoded; a place never repeats a key's secret."""
    hidden = "".join(f"\\u{ord(letter):04x}" for letter in "v4lue-of-mine")
    for name, content in {
        "value.json": f'{{"a": "{hidden}"}}',
        "key.ipynb": f'{{"{hidden}": {{"{hidden}": 1}}}}',
        "lines.ndjson": f'{{}}\nbroken{{\n["{hidden}"]\n',
    }.items():
        findings = found_in(tmp_path / name, content, "v4lue-of-mine")
        assert findings, name
        assert "v4lue" not in repr(findings)


@pytest.mark.parametrize("broken", ['{"a": "v4lue-of-mine', "[" * 100_000 + '"v4lue-of-mine"'])
def test_json_that_cannot_be_read_is_scanned_as_text(tmp_path: Path, broken: str) -> None:
    """Cut off, or nested too deep."""
    assert len(found_in(tmp_path / "x.json", broken, "v4lue-of-mine")) == 1
