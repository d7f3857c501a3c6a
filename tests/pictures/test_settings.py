"""Settings by environment, with the source of each value."""

from __future__ import annotations

from labkit.pictures.settings import settings_table
from labkit.tables import Cell, Tone
from labkit.targets.configuration import SettingView


def test_each_value_stands_with_its_source() -> None:
    """Rows are settings, in the order of their first mention; what is not there is a dash."""
    table = settings_table(
        "all of them",
        {
            "test": (
                SettingView("log_level", "INFO", "file"),
                SettingView("beta_features", value=False, source="default"),
            ),
            "staging": (
                SettingView("log_level", "ERROR", "override"),
                SettingView("queue_size", 3, "environment"),
            ),
        },
    )
    assert table.caption == "all of them"
    assert table.columns == ("setting", "test", "staging")
    absent = Cell("—", Tone.MUTED)
    assert table.rows == (
        ("log_level", Cell("INFO\n(file)"), Cell("ERROR\n(override)")),
        ("beta_features", Cell("False\n(default)", Tone.MUTED), absent),
        ("queue_size", absent, Cell("3\n(environment)")),
    )
    assert "default < file < environment < override" in table.text()


def test_a_long_value_is_cut_in_the_middle() -> None:
    """Its beginning and end are left; one that just fits is whole."""
    views = [
        SettingView("short", "s" * 32, "file"),
        SettingView("url", "a" * 40 + "b" * 40, "file"),
    ]
    (_, short), (_, url) = settings_table("", {"test": views}).rows
    assert short == Cell("s" * 32 + "\n(file)")
    assert url == Cell("a" * 16 + "…" + "b" * 15 + "\n(file)")


def test_no_environment_makes_an_empty_table() -> None:
    """Nothing is loaded, nothing is shown."""
    assert settings_table("none", {}).rows == ()
