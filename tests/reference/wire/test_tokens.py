"""Who a token says a client is, and that nobody but the platform can say so."""

from __future__ import annotations

import secrets

import pytest

from labkit.errors import Denied, SettingError
from labkit.redaction import Secret
from labkit.reference.wire.tokens import Tokens

NOW = 1_700_000_000.0


def tokens(now: float = NOW, key: str = "k" * 32) -> Tokens:
    """Tokens whose clock stands still."""
    return Tokens(Secret(key), clock=lambda: now)


@pytest.mark.parametrize("user", ["u1", "", "a.b", "ü\n*", "x" * 500])
def test_a_token_names_its_user(user: str) -> None:
    """Whatever characters the id is made of."""
    assert tokens().verify(tokens().issue(user, 60).reveal()) == user


def test_a_token_expires() -> None:
    """It is good until its time is over, by the clock of who verifies."""
    token = tokens().issue("u1", 60).reveal()
    assert tokens(NOW + 59).verify(token) == "u1"
    with pytest.raises(Denied, match="has expired"):
        tokens(NOW + 60).verify(token)


def test_no_part_of_a_token_can_be_changed() -> None:
    """A token with any one character changed, dropped or added is denied."""
    token = tokens().issue("u1", 60).reveal()
    for place in range(len(token)):
        for other in ("A", "B", "-", ".", "", "=", "é", " "):
            for rest in (place, place + 1):
                changed = token[:place] + other + token[rest:]
                if changed != token:
                    with pytest.raises(Denied, match="is not valid"):
                        tokens().verify(changed)


def test_a_signature_belongs_to_one_user() -> None:
    """The words of one token do not pass under the signature of another."""
    said = tokens().issue("u1", 60).reveal().partition(".")[0]
    signature = tokens().issue("u2", 60).reveal().partition(".")[2]
    with pytest.raises(Denied):
        tokens().verify(f"{said}.{signature}")


def test_a_token_of_another_key_is_denied() -> None:
    """Whoever does not have the key cannot issue."""
    with pytest.raises(Denied):
        tokens().verify(tokens(key="l" * 32).issue("u1", 60).reveal())


@pytest.mark.parametrize("text", ["", ".", "..", "x", "a.b.c", "W10." + "A" * 43, "." * 10_000])
def test_what_is_no_token_at_all_is_denied(text: str) -> None:
    """In the same words as a forged one."""
    with pytest.raises(Denied, match=r"^the token is not valid$"):
        tokens().verify(text)


def test_random_texts_are_denied() -> None:
    """None of many texts of the right alphabet passes."""
    for size in range(1, 200):
        with pytest.raises(Denied):
            tokens().verify(f"{secrets.token_urlsafe(size)}.{secrets.token_urlsafe(32)}")


def test_a_denial_does_not_show_the_token() -> None:
    """It may be a good one with a slip in it."""
    token = tokens().issue("u1", 60).reveal()
    with pytest.raises(Denied) as caught:
        tokens().verify(token + "x")
    assert token[:10] not in str(caught.value)


def test_a_short_key_is_refused() -> None:
    """With the length that it has and the one that it needs."""
    with pytest.raises(SettingError, match="has 5 bytes: give it at least 32"):
        Tokens(Secret("short"))
