"""How settings, and what is wrong with them, are shown: without secrets, each in one short line.

What is long is told by its length alone, never cut: a cut through a secret would leave a piece that
nothing masks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from labkit.errors import SettingFault
from labkit.redaction import MASK, Redactor, Secret, secrets_in
from labkit.reference.configuration.models import OPTION_VALUES
from labkit.services.urls import PostgresUrl

_LONGEST_QUOTED: Final = 40
_LONGEST_KEY: Final = 80
_SHORTEST_PIECE: Final = 8


def masked(text: str, redactor: Redactor) -> str:
    """A text without known secrets, and without the password of any URL in it."""
    return redactor.joined(secrets_in({"": text})).text(text)


def quoted(value: Any, secrets: Iterable[Secret]) -> str:
    """A refused value, or, where it is long or deep, what it is; a piece of a secret is masked."""
    if isinstance(value, list | dict):
        return f"a {type(value).__name__}"
    text = value if isinstance(value, str) else repr(value)
    known = tuple(secrets)
    if any(_is_piece(text, secret.reveal()) for secret in known):
        return repr(MASK)
    told = masked(text, Redactor(known))
    if len(told) > _LONGEST_QUOTED:
        return f"a value of {len(text):,} characters"
    return repr(told) if isinstance(value, str) else told


def _is_piece(text: str, secret: str) -> bool:
    return text == secret or (len(text) >= _SHORTEST_PIECE and text in secret)


def legible(fault: SettingFault, redactor: Redactor) -> SettingFault:
    """A fault of a key that somebody made up, who may have put a secret there."""
    key, source = _one_line(fault.key, redactor), fault.source
    return SettingFault(key, fault.reason, source.replace(fault.key, key) if fault.key else source)


def _one_line(key: str, redactor: Redactor) -> str:
    told = repr(masked(key, redactor))[1:-1]
    return told if len(told) <= _LONGEST_KEY else f"a name of {len(key):,} characters"


def url_shown(url: Secret) -> str:
    """A database's URL without its password, and without options whose values may be anything."""
    parsed = PostgresUrl.parse(url.reveal())
    options = tuple(
        (name, value if value in OPTION_VALUES.get(name, ()) else MASK)
        for name, value in parsed.options
    )
    password = parsed.password and MASK
    text = replace(parsed, password=password, options=options).secret.reveal()
    return text.replace(quote(MASK, safe=""), MASK)
