"""Settings are read from a snapshot that can be changed, watched, protected and undone."""

import os
import subprocess
import sys

import pytest

from labkit.environment import IsolatedEnvironment
from labkit.errors import SettingError
from labkit.redaction import MASK, Secret

Change = tuple[str, str | None, str | None]


def watched(environment: IsolatedEnvironment) -> list[Change]:
    """The list to which the environment's changes are appended from now on."""
    changes: list[Change] = []
    environment.on_change(lambda *change: changes.append(change))
    return changes


def test_the_processs_environment_is_copied_with_its_source() -> None:
    """What the process has can be read, and says that it came from there."""
    environment = IsolatedEnvironment.of_process()
    assert environment.as_mapping() == dict(os.environ)
    assert environment.source_of("PATH") == "process"


def test_changes_never_reach_the_process() -> None:
    """Neither a value that is set nor one that is deleted changes `os.environ`."""
    before = dict(os.environ)
    environment = IsolatedEnvironment.of_process()
    environment.set("LABKIT_NEW", "1", source="test")
    environment.delete("PATH")
    environment.as_mapping()["LABKIT_OTHER"] = "2"
    assert dict(os.environ) == before
    assert environment.get("PATH") is None
    assert environment.get("LABKIT_OTHER") is None


def test_changes_of_the_source_never_reach_the_snapshot() -> None:
    """The mapping that it was made from can change as it likes."""
    given = {"A": "1"}
    environment = IsolatedEnvironment(given)
    given["A"] = "2"
    assert environment.get("A") == "1"


def test_each_value_has_its_own_source() -> None:
    """Setting a value replaces its source too; what is not set has none."""
    environment = IsolatedEnvironment({"A": "1", "B": "2"}, "staging.env")
    environment.set("B", "2", source="command line")
    assert [environment.source_of(key) for key in "ABC"] == ["staging.env", "command line", None]


def test_a_required_setting_that_is_missing_or_empty_is_named() -> None:
    """The error says which one it is and what to do."""
    environment = IsolatedEnvironment({"EMPTY": "", "FULL": "x"}, "staging.env")
    assert environment.require("FULL") == "x"
    with pytest.raises(SettingError, match="MISSING is not set: export MISSING="):
        environment.require("MISSING")
    with pytest.raises(SettingError, match=r"EMPTY is empty in its source, staging\.env"):
        environment.require("EMPTY")


def test_leaving_a_block_restores_exactly_what_it_was_entered_with() -> None:
    """Values, sources, protections and callbacks are those of the entry, also after an error."""
    environment = IsolatedEnvironment({"A": "1", "B": "2"})
    outer = watched(environment)
    inner: list[Change] = []

    def break_off() -> None:
        with environment:
            environment.on_change(lambda *change: inner.append(change))
            environment.set("A", "changed", source="block")
            environment.delete("B")
            environment.set("C", "3", source="block")
            environment.protect("A")
            raise LookupError

    with pytest.raises(LookupError):
        break_off()
    assert environment.as_mapping() == {"A": "1", "B": "2"}
    assert environment.source_of("A") == "process"
    environment.set("A", "after", source="test")
    assert inner == [("A", "1", "changed"), ("B", "2", None), ("C", None, "3")]
    assert outer == [*inner, ("A", "1", "after")]


def test_blocks_can_be_nested() -> None:
    """Each level is left as it was entered."""
    environment = IsolatedEnvironment({"A": "1"})
    with environment:
        environment.set("A", "2", source="outer")
        environment.protect("B")
        with environment:
            environment.set("A", "3", source="inner")
            environment.protect("A")
        assert (environment.get("A"), environment.source_of("A")) == ("2", "outer")
        environment.set("A", "4", source="outer")
        with pytest.raises(SettingError):
            environment.set("B", "x", source="outer")
    assert environment.get("A") == "1"


def test_a_protected_setting_is_neither_set_nor_deleted() -> None:
    """Both are refused by name, nothing changes and no callback is told."""
    environment = IsolatedEnvironment({"A": "1"})
    changes = watched(environment)
    with environment:
        environment.protect("A")
        with pytest.raises(SettingError, match="A is protected"):
            environment.set("A", "2", source="test")
        with pytest.raises(SettingError, match="A is protected"):
            environment.delete("A")
    assert (environment.get("A"), changes) == ("1", [])
    environment.delete("A")
    assert changes == [("A", "1", None)]


def test_only_changes_are_told() -> None:
    """The same value again, and deleting what is not set, are none."""
    environment = IsolatedEnvironment({"A": "1"})
    changes = watched(environment)
    environment.set("A", "1", source="test")
    environment.delete("B")
    assert changes == []


def test_errors_of_callbacks_are_raised_after_all_were_told() -> None:
    """The change stands, every callback has seen it, and all errors come in one group."""
    environment = IsolatedEnvironment({"A": "1"})

    def fail(_key: str, old: str | None, new: str | None) -> None:
        raise LookupError(f"{old} to {new}")

    environment.on_change(fail)
    changes = watched(environment)
    environment.on_change(fail)
    with pytest.raises(ExceptionGroup, match="A, which stands") as raised:
        environment.set("A", "2", source="test")
    assert [str(error) for error in raised.value.exceptions] == ["1 to 2", "1 to 2"]
    assert (environment.get("A"), changes) == ("2", [("A", "1", "2")])


@pytest.mark.parametrize("key", ["", "A=B", "A\0", 5, None])
def test_a_key_that_no_environment_can_hold_is_refused(key: str) -> None:
    """It is repeated in the error, whether it was given at the start or set later."""
    for make in (lambda: IsolatedEnvironment({key: ""}), lambda: _empty().set(key, "", source="t")):
        with pytest.raises(SettingError, match="is no name of a setting"):
            make()


@pytest.mark.parametrize("value", ["tail\0hidden", 5, None, b"tail"])
def test_a_value_that_no_environment_can_hold_is_refused(value: str) -> None:
    """The error names key and source and does not repeat the value."""
    with pytest.raises(SettingError, match="setting A from here must be text") as raised:
        _empty().set("A", value, source="here")
    assert "tail" not in str(raised.value)


def _empty() -> IsolatedEnvironment:
    return IsolatedEnvironment({})


def test_nothing_in_a_value_is_run_or_filled_in() -> None:
    """Values come out as they went in, down to a child process."""
    odd = {"A": "$(id) `id` ${B} $B %B% ~ ~root {B} \\n # x", "B": " spaces\nlines 'quotes\" "}
    environment = IsolatedEnvironment({**os.environ, **odd})
    program = "import os; print({key: os.environ[key] for key in 'AB'})"
    child = subprocess.run(
        [sys.executable, "-c", program],
        env=environment.as_mapping(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert child.stdout.strip() == str(odd)


def test_the_masked_view_shows_no_secret() -> None:
    """Masked are values under names of secrets, and these and given values wherever they stand."""
    environment = IsolatedEnvironment(
        {
            "API_TOKEN": "t0k3n-of-mine",
            "DB_PASSWORD": "tiny",
            "EMPTY_SECRET": "",
            "URL": "postgresql://me:p%40ssw0rd!@host/db",
            "COMMAND": "curl -H t0k3n-of-mine --pass p@ssw0rd! --key handed-over",
            "MONKEY": "tiny",
            "PWD": "/home/me",
        }
    )
    assert environment.masked([Secret("handed-over")]) == {
        "API_TOKEN": MASK,
        "DB_PASSWORD": MASK,
        "EMPTY_SECRET": "",
        "URL": f"postgresql://me:{MASK}@host/db",
        "COMMAND": f"curl -H {MASK} --pass {MASK} --key {MASK}",
        "MONKEY": "tiny",
        "PWD": "/home/me",
    }
    assert "tiny" not in repr(environment)
