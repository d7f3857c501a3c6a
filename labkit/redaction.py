"""Secrets, and how their values are kept out of everything that is shown or stored.

A `Redactor` knows the secrets of a run by *value* and finds them in every form that captured text
may hold them in: as they are, URL-quoted, base64, or escaped for JSON, HTML or Python source. It is
meant for captured text, never for the lab's own words. `StreamRedactor` does the same for text that
arrives in pieces, `labkit.file_scan` looks through a finished file.

Values that are short or well known (`is_weak`) would also mask innocent words, so they are matched
only where a URL holds its password.
"""

from __future__ import annotations

import base64
import enum
import html
import json
import re
import types
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

from labkit.errors import SettingError

MASK: Final = "***"
"""What stands in a secret's place; it needs no escaping in URLs, JSON, HTML or Python."""

_SHORTEST_STRONG: Final = 8

_WELL_KNOWN: Final = frozenset(
    {"12345678", "changeme", "database", "localhost", "minioadmin", "passw0rd", "password"}
    | {"password1", "postgres", "postgresql", "rabbitmq"}
)
"""Default passwords that are long enough to be taken for strong ones, in lower case."""


class Secret:
    """A text that prints masked, whatever its length; `reveal` gives it to who needs it.

    Equal to a secret of the same value. Raises `SettingError` when the value is not text.
    """

    # No dataclass: `dataclasses.asdict` of whatever holds a secret would lay its value open.
    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise SettingError(f"a secret must be text, not {type(value).__name__}")
        self._value = value

    def reveal(self) -> str:
        """The value itself, for a driver or another process; never for a message."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, specification: str) -> str:
        return format(MASK, specification)


def is_weak(secret: Secret) -> bool:
    """Whether the value is shorter than 8 characters or a well-known default."""
    value = secret.reveal().strip()
    return len(value) < _SHORTEST_STRONG or value.casefold() in _WELL_KNOWN


class Form(enum.StrEnum):
    """How a secret's value was written where it was found."""

    RAW = "raw"
    URL = "URL-quoted"
    BASE64 = "base64"
    JSON = "JSON-escaped"
    HTML = "HTML-escaped"
    PYTHON = "Python-escaped"


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


_TEMPLATE_QUOTES: Final = types.MappingProxyType({34: "&#34;", 39: "&#39;"})

_XML_ATTRIBUTE: Final = types.MappingProxyType({9: "&#09;", 10: "&#10;", 13: "&#13;", 34: "&quot;"})

_ESCAPES: Final[tuple[tuple[Form, Callable[[str], str]], ...]] = (
    (Form.JSON, lambda text: json.dumps(text)[1:-1]),
    (Form.JSON, lambda text: json.dumps(text, ensure_ascii=False)[1:-1]),
    (Form.PYTHON, lambda text: repr(text)[1:-1]),
    # With a quote before it, Python escapes the other kind of quote.
    (Form.PYTHON, lambda text: repr('"' + text)[2:-1]),
    (Form.PYTHON, lambda text: ascii(text)[1:-1]),
    (Form.PYTHON, lambda text: repr(_bytes(text))[2:-1]),
    (Form.HTML, lambda text: html.escape(text, quote=False)),
    (Form.HTML, html.escape),
    # Template engines write both quotes as decimal references, XML writes line ends so.
    (Form.HTML, lambda text: html.escape(text, quote=False).translate(_TEMPLATE_QUOTES)),
    (Form.HTML, lambda text: html.escape(text, quote=False).translate(_XML_ATTRIBUTE)),
)


def _escaped(value: str) -> Iterator[tuple[str, Form]]:
    """The value and its escapes, also one inside another, as in the HTML of a `repr`."""
    yield value, Form.RAW
    for inner in (value, *(escape(value) for _, escape in _ESCAPES)):
        for form, escape in _ESCAPES:
            yield escape(inner), form


def _url_quoted(value: str) -> Iterator[tuple[str, Form]]:
    raw = _bytes(value)
    # The texts that servers, browsers and drivers leave unquoted differ.
    for quoted in (quote(raw, safe=""), quote(raw), quote(raw, safe="!~*'()"), quote_plus(raw)):
        yield quoted, Form.URL
        yield re.sub("%..", lambda escape: escape[0].lower(), quoted), Form.URL


def _base64(value: str) -> Iterator[tuple[str, Form]]:
    raw = _bytes(value)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        alone = encode(raw).decode()
        yield alone, Form.BASE64
        yield alone.rstrip("="), Form.BASE64
        for before in range(3):  # bytes of a longer text ahead of it, modulo 3
            text = encode(bytes(before) + raw).decode()
            # Six bits a character: the outermost ones are mixed with their neighbours' bits.
            inner = text[-(-8 * before // 6) : 8 * (before + len(raw)) // 6]
            yield inner, Form.BASE64


def _forms(
    secrets: Iterable[Secret], *kinds: Callable[[str], Iterator[tuple[str, Form]]]
) -> dict[str, Form]:
    """Every text that stands for one of the secrets, longest first, with the form that it is in."""
    forms: dict[str, Form] = {}
    for kind in kinds:
        for secret in secrets:
            # Whitespace around a value is lost as easily as it is kept.
            for text, form in kind(secret.reveal().strip()):
                forms.setdefault(text, form)
    return dict(sorted(forms.items(), key=lambda item: (-len(item[0]), item[0])))


@dataclass(frozen=True)
class Finding:
    """Where a secret was found; never its value."""

    form: Form
    line: int
    """From 1, in the file or in the decoded text that `place` names."""
    offset: int
    """In characters, from 0, in the same text."""
    place: str = ""
    """A JSON pointer to the decoded text, such as `/cells/3/outputs/0/text`; empty: the file."""


@dataclass(frozen=True)
class Span:
    """A piece of a text, from `start` up to `end`, that is a secret or several overlapping ones."""

    start: int
    end: int
    form: Form
    """The form of the first, and of these the longest."""


_USER: Final = r"[^\s/@:]{0,128}:"
"""What stands between `://` and a password; bounded, so that a stream looks back no further."""

_LONGEST_USER: Final = len("://") + 128 + len(":")

_GRAM: Final = 4
"""How many characters of a text are looked up at once; no form of a strong secret is shorter."""

_LONGEST_STRIDE: Final = 16
"""From one look-up to the next; longer ones save less than it takes to prepare for them."""


class Redactor:
    """Masks the values of its secrets; immutable. Empty secrets are ignored."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets = frozenset(secret for secret in secrets if secret.reveal().strip())
        weak = frozenset(filter(is_weak, self._secrets))
        self._strong = _forms(self._secrets - weak, _escaped, _url_quoted, _base64)
        self._in_order = sorted(self._strong)
        self._initials = frozenset(text[0] for text in self._strong)
        self._longest = max(map(len, self._strong), default=0)
        self._shortest = min(map(len, self._strong), default=0)
        self._stride = min(self._shortest - _GRAM + 1, _LONGEST_STRIDE)
        self._by_gram = defaultdict[str, list[tuple[str, int]]](list)
        for text, at in product(self._strong, range(self._stride)):
            self._by_gram[text[at : at + _GRAM]].append((text, at))
        self._weak = _forms(weak, _escaped, _url_quoted)
        self._weak_in_url = re.compile(f"://(?={_USER}({'|'.join(map(re.escape, self._weak))})@)")

    def joined(self, more: Iterable[Secret]) -> Redactor:
        """A redactor that knows `more` secrets as well."""
        return Redactor(self._secrets.union(more))

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        return _masked(text, self.spans(text), 0, len(text))

    def value(self, value: Any) -> Any:
        """A JSON value with every secret in its texts, keys and numbers masked.

        Keys that become equal by it collapse into one.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(member) for key, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, int | float) and self.spans(str(value)):
            return MASK
        return value

    def findings(self, text: str) -> tuple[Finding, ...]:
        """Where secrets stand in the text, and in which form."""
        return tuple(
            Finding(span.form, text.count("\n", 0, span.start) + 1, span.start)
            for span in self.spans(text)
        )

    def spans(self, text: str) -> list[Span]:
        """The pieces of the text that are secrets, in order; overlapping ones are one piece."""
        found = [*self._strong_spans(text), *self._weak_spans(text)]
        spans: list[Span] = []
        for span in sorted(found, key=lambda span: (span.start, -span.end)):
            if spans and span.start < spans[-1].end:
                first = spans.pop()
                spans.append(Span(first.start, max(first.end, span.end), first.form))
            else:
                spans.append(span)
        return spans

    def undecided_from(self, text: str) -> int:
        """Where the end of the text begins that more text could still make a secret.

        It is the length of the text when there is no such end.
        """
        strong = (
            start
            for start in range(max(0, len(text) - self._longest + 1), len(text))
            if text[start] in self._initials and self._begins_strong(text[start:])
        )
        weak = (
            user.end(1)
            for user in re.finditer(f"://(?=({_USER}))", text)
            if any(form.startswith(text[user.end(1) :]) for form in self._weak)
        )
        return min(next(strong, len(text)), next(weak, len(text)))

    def _begins_strong(self, text: str) -> bool:
        place = bisect_right(self._in_order, text)
        return place < len(self._in_order) and self._in_order[place].startswith(text)

    def _strong_spans(self, text: str) -> Iterator[Span]:
        # However a secret lies, one of its first grams is met, at a place that is known of it. The
        # look-ups take the same time however many secrets there are.
        for place in range(0, len(text), self._stride) if self._strong else ():
            for written, at in self._by_gram.get(text[place : place + _GRAM], ()):
                start = place - at
                if start >= 0 and text.startswith(written, start):
                    yield Span(start, start + len(written), self._strong[written])

    def _weak_spans(self, text: str) -> Iterator[Span]:
        if self._weak:
            for match in self._weak_in_url.finditer(text):
                yield Span(*match.span(1), self._weak[match[1]])


def _masked(text: str, spans: Iterable[Span], start: int, end: int) -> str:
    """The text from `start` to `end`, which cut no span, with the spans in it masked."""
    pieces = []
    for span in spans:
        if start <= span.start < end:
            pieces += [text[start : span.start], MASK]
            start = span.end
    return "".join([*pieces, text[start:end]])


class StreamRedactor:
    """Masks secrets in a text that arrives in pieces, wherever the pieces are cut.

    What all the calls return is, joined, what `Redactor.text` makes of the whole text.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._shown = ""
        """The last of what was given out, unmasked: a URL's user may stand in it."""
        self._held = ""

    def feed(self, piece: str) -> str:
        """What is safe to show by now: all but an end that could still become a secret."""
        text = self._shown + self._held + piece
        start, end = len(self._shown), self._redactor.undecided_from(text)
        spans = self._redactor.spans(text)
        end = next((span.start for span in spans if span.start < end < span.end), end)
        self._shown, self._held = text[:end][-_LONGEST_USER:], text[end:]
        return _masked(text, spans, start, end)

    def flush(self) -> str:
        """The rest; what is fed afterwards is another text."""
        text, start = self._shown + self._held, len(self._shown)
        self._shown = self._held = ""
        return _masked(text, self._redactor.spans(text), start, len(text))


_WORD: Final = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_SECRET_WORDS: Final = re.compile(
    "_(PASSWORDS?|PASSWD|PGPASSWORD|PASSPHRASE|PWD|SECRETS?|TOKEN|CREDENTIALS?"
    "|(ACCESS|API|ENCRYPTION|PRIVATE|SECRET|SIGNING)_?KEY)_|_(AUTH|JWT|PASS|PAT)_$"
)

_NO_SECRETS: Final = re.compile("_PWD_|.*_(DIR|FILE|PATH)_")
"""The shell's working directory, and places where a secret may lie."""


def names_secret(key: str) -> bool:
    """Whether a setting of this name holds a secret, judged by the whole words of the name.

    `DB_PASSWORD`, `apiKey` and `auth.token` do; `MONKEY`, `TOKENIZERS_PARALLELISM`, the shell's
    `PWD`, and names of places such as `TOKEN_FILE` do not.
    """
    words = f"_{'_'.join(_WORD.findall(key))}_".upper()
    return bool(_SECRET_WORDS.search(words)) and not _NO_SECRETS.fullmatch(words)


def secrets_in(environment: Mapping[str, str]) -> tuple[Secret, ...]:
    """The values under names of secrets, and the passwords in URLs, decoded and as written."""
    values: list[str] = []
    for key, value in environment.items():
        if names_secret(key):
            values.append(value)
        values += _passwords_in(value)
    return tuple(Secret(value) for value in dict.fromkeys(values) if value.strip())


def _passwords_in(url: str) -> Iterator[str]:
    # A password that should have been quoted may hold what ends the host's part of a URL.
    for password in (r"([^\s/?#]+)@", r"(\S+)@"):
        for written in re.findall(rf"://[^\s/?#@:]*:{password}", url):
            yield from (written, unquote(written))
    if "://" in url:
        for name, written in re.findall(r"[?&]([^\s=&#]+)=([^\s&#]+)", url):
            yield from (written, unquote(written)) if names_secret(name) else ()
