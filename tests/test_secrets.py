"""What counts as a secret, by its name or in a URL, and that a secret does not show itself."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest

from labkit.errors import SettingError
from labkit.redaction import MASK, Secret, names_secret, secrets_in


@pytest.mark.parametrize(
    "keys",
    [
        ("PASSWORD", "DB_PASSWORD", "PGPASSWORD", "db-passwd", "dbPassword", "MYSQL_PWD"),
        ("SECRET", "CLIENT_SECRET_2", "AWS_CREDENTIALS", "auth.token", "GITHUB_TOKEN"),
        ("apiKey", "OPENAI_APIKEY", "AWS_SECRET_ACCESS_KEY", "PRIVATE-KEY", "REDISCLI_AUTH"),
        ("DB_PASS", "GITHUB_PAT", "SERVICE_JWT", "basicAuth"),
    ],
)
def test_a_name_with_a_whole_secret_word_names_a_secret(keys: tuple[str, ...]) -> None:
    """However its words are joined."""
    assert [key for key in keys if not names_secret(key)] == []


@pytest.mark.parametrize(
    "keys",
    [
        ("PWD", "OLDPWD"),
        ("KEYBOARD", "MONKEY", "TOKENIZERS_PARALLELISM", "SECRETARY"),
        ("KEY", "SORT_KEY", "SSH_AUTH_SOCK", "pass_rate", "PATH"),
        ("PASSWORD_FILE", "TOKEN_PATH", "PASSWORD_STORE_DIR"),
    ],
)
def test_a_name_that_only_resembles_one_does_not(keys: tuple[str, ...]) -> None:
    """The working directory, parts of words, other keys and places of files are no secrets."""
    assert [key for key in keys if names_secret(key)] == []


def test_the_secrets_of_an_environment_are_its_named_values_and_urls_passwords() -> None:
    """Passwords in URLs count decoded and as written, whatever the setting is called."""
    found = secrets_in(
        {
            "API_KEY": "value-of-the-key",
            "EMPTY_TOKEN": " ",
            "HOME": "/root",
            "A": "see redis://u:p%40ss@h or http://user@h/x:y or postgresql://:second@h",
            "B": "postgresql:///db?host=/tmp&password=th%20ird&sslmode=no",
            "C": "postgresql://u:sl/ash#3@h/db",
        }
    )
    values = ["value-of-the-key", "p%40ss", "p@ss", "second", "th%20ird", "th ird", "sl/ash#3"]
    assert [secret.reveal() for secret in found] == values


@dataclasses.dataclass(frozen=True)
class Holder:
    """Something that holds a secret."""

    secret: Secret


def test_a_secret_shows_its_value_to_nobody_who_does_not_ask() -> None:
    """Every way of printing it gives a mask that does not tell its length."""
    secret = Secret("v4lue-of-mine")
    holder = Holder(secret)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>30}",
        f"{secret:>20}",
        repr(holder),
    ]
    shown += [str(dataclasses.asdict(holder)), str([secret]), f"{secret:.1}"]
    assert "v4lue" not in "".join(shown)
    assert str(secret) == str(Secret("")) == MASK
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert secret.reveal() == "v4lue-of-mine"


def test_secrets_are_equal_by_value() -> None:
    """Also after a journey to another process; a text is no secret."""
    secret = Secret("value")
    assert pickle.loads(pickle.dumps(secret)) == secret  # noqa: S301 - made one line above
    assert {secret, Secret("value"), Secret("other")} == {Secret("other"), secret}
    assert secret != "value"


@pytest.mark.parametrize("value", [None, 5, b"bytes"])
def test_a_secret_must_be_text(value: str) -> None:
    """What is refused is named by its type alone."""
    with pytest.raises(SettingError, match=f"not {type(value).__name__}"):
        Secret(value)
