"""What a server process writes down."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys

from labkit.redaction import Redactor, Secret
from labkit.reference.serving.logs import JsonLines, fields

SECRET = "pass-word-1234"


def line(message: str, *arguments: object, error: BaseException | None = None, **facts: str) -> str:
    """What is written of a record."""
    record = logging.LogRecord(
        "labkit.x",
        logging.WARNING,
        "x.py",
        1,
        message,
        arguments,
        (type(error), error, error.__traceback__) if error else None,
    )
    record.__dict__.update(fields(**facts))
    return JsonLines(Redactor([Secret(SECRET)])).format(record)


def failing() -> None:
    """Fail, for a reason that quotes a user."""
    try:
        dict[str, str]()["a user's words"]
    except KeyError as cause:
        raise ValueError("a user's words") from cause


def test_a_record_is_one_line_of_json() -> None:
    """With its fields beside the message, whatever characters are in them."""
    written = line("run %s\nfailed", "r1", run='r"1\n', user="ü")
    assert "\n" not in written
    value = json.loads(written)
    assert value.pop("ts") > 0
    assert value == {
        "level": "warning",
        "logger": "labkit.x",
        "message": "run r1\nfailed",
        "run": 'r"1\n',
        "user": "ü",
    }


def test_secrets_are_masked_in_the_message_and_in_fields() -> None:
    """Wherever they stand."""
    written = line("logged in as %s", SECRET, url=f"redis://u:{SECRET}@host")
    assert SECRET not in written
    assert written.count("***") == 2


def test_an_error_is_told_by_kind_and_place_and_not_by_its_words() -> None:
    """It may quote what a user wrote; what caused it is told as well."""
    try:
        failing()
    except ValueError as error:
        written = line("it failed", error=error)
    assert "a user's words" not in written
    outer, inner = json.loads(written)["error"]
    assert (outer["kind"], inner["kind"]) == ("ValueError", "KeyError")
    place = outer["at"][-1]
    assert place.startswith("test_logs.py:")
    assert place.endswith(" failing")


def test_errors_that_cause_each_other_without_end_are_told_in_bounds() -> None:
    """A long chain is cut."""
    error = first = ValueError()
    for _ in range(30):
        error.__cause__ = ValueError()
        error = error.__cause__
    assert len(json.loads(line("it failed", error=first))["error"]) == 10


def test_all_loggers_of_a_process_write_to_the_stream() -> None:
    """From information upwards, each record once."""
    program = (
        "import logging, sys\n"
        "from labkit.redaction import Redactor\n"
        "from labkit.reference.serving.logs import write_logs\n"
        "write_logs(sys.stderr, Redactor())\n"
        "write_logs(sys.stderr, Redactor())\n"
        "logging.getLogger('one').info('first')\n"
        "logging.getLogger('other').debug('unseen')\n"
        "logging.getLogger('other').error('second')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    written = [json.loads(one) for one in io.StringIO(ran.stderr)]
    assert [(one["logger"], one["message"]) for one in written] == [
        ("one", "first"),
        ("other", "second"),
    ]
