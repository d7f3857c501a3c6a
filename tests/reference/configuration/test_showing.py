"""What is shown is short, on one line, and without secrets; nothing is cut through."""

from __future__ import annotations

import pytest

from labkit.errors import SettingFault
from labkit.redaction import Redactor, Secret
from labkit.reference.configuration.showing import legible, masked, quoted, url_shown

SECRET = Secret("a-secret-of-these-tests")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("LOUD", "'LOUD'"),
        (0, "0"),
        (None, "None"),
        ("x" * 40, repr("x" * 40)),
        ("x" * 41, "a value of 41 characters"),
        (10**50, "a value of 51 characters"),
        ([SECRET.reveal()], "a list"),
        ({SECRET.reveal(): 1}, "a dict"),
        (SECRET.reveal(), "'***'"),
        (f"is {SECRET.reveal()}", "'is ***'"),
        ("ecret-of", "'***'"),
        ("ecret-o", "'ecret-o'"),
        ("http://ann:xyz@h", "'http://ann:***@h'"),
    ],
)
def test_a_refused_value_is_quoted_when_it_is_short(value: object, told: str) -> None:
    """After it was masked; a piece of a secret is masked from eight characters on."""
    assert quoted(value, [SECRET]) == told


def test_a_name_that_somebody_made_up_is_masked_escaped_and_never_cut() -> None:
    """In the fault's source as well."""
    redactor = Redactor([SECRET])
    for key, told in (
        ("lgo_level", "lgo_level"),
        ("a\nb\ud800", r"a\nb\ud800"),
        (f"X_{SECRET.reveal()}", "X_***"),
        ("x" * 81, "a name of 81 characters"),
    ):
        fault = legible(SettingFault(key, "is not known", f"variable {key}"), redactor)
        assert fault == SettingFault(told, "is not known", f"variable {told}")


def test_a_text_is_shown_without_any_password() -> None:
    """Known or not."""
    text = f"{SECRET.reveal()} http://ann:xyz@h"
    assert masked(text, Redactor([SECRET])) == "*** http://ann:***@h"


def test_a_url_is_shown_with_what_cannot_be_a_secret() -> None:
    """Its hosts, user, database, and options of few values."""
    url = "postgresql://ann:xyz@h:1,i:2/d?sslmode=require&sslkey=xyz"
    assert url_shown(Secret(url)) == "postgresql://ann:***@h:1,i:2/d?sslmode=require&sslkey=***"
