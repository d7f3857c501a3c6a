"""Secrets are found by value, in every form, in whole texts and in streams."""

from __future__ import annotations

import ast
import base64
import html
import json
import random
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus, unquote, unquote_plus
from xml.etree import ElementTree as ET

import pytest

from labkit.redaction import MASK, Form, Redactor, Secret, StreamRedactor, is_weak

VALUES = (
    "pl4in-v4lue",
    """both "quo'tes" \\in""",
    "per%cent %41 sign",
    "<b>&amp;</b>",
    "<\"a' & 'b\">",
    'ünïcödé "пароль" 密码',
    "two\nlines\tand\rmore",
    "a/b+c=d?e&f",
    "?>?>?>~~~???",
)


def lower_escapes(quoted: str) -> str:
    """The quoted text with `%2f` for `%2F`."""
    return re.sub("%..", lambda escape: escape[0].lower(), quoted)


CODECS: Mapping[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "raw": (str, str),
    "JSON": (json.dumps, json.loads),
    "JSON beyond ASCII": (lambda text: json.dumps(text, ensure_ascii=False), json.loads),
    "JSON in JSON": (
        lambda text: json.dumps(json.dumps(text)),
        lambda text: json.loads(json.loads(text)),
    ),
    "Python": (repr, ast.literal_eval),
    "Python beside a double quote": (
        lambda text: repr('"' + text),
        lambda text: str(ast.literal_eval(text))[1:],
    ),
    "Python bytes": (
        lambda text: repr(text.encode()),
        lambda text: ast.literal_eval(text).decode(),
    ),
    "Python in JSON": (
        lambda text: json.dumps(repr(text)),
        lambda text: str(ast.literal_eval(json.loads(text))),
    ),
    "Python in HTML": (
        lambda text: html.escape(repr(text)),
        lambda text: str(ast.literal_eval(html.unescape(text))),
    ),
    "HTML": (html.escape, html.unescape),
    "HTML without quotes": (lambda text: html.escape(text, quote=False), html.unescape),
    "HTML by a template": (
        lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        html.unescape,
    ),
    "XML attribute": (
        lambda text: ET.tostring(ET.Element("x", {"y": text}), "unicode"),
        lambda text: ET.fromstring(text).attrib["y"],  # noqa: S314 - written one step before
    ),
    "URL": (quote, unquote),
    "URL, whole": (lambda text: quote(text, safe=""), unquote),
    "URL as browsers do": (lambda text: quote(text, safe="!~*'()"), unquote),
    "URL, lower case": (lambda text: lower_escapes(quote(text, safe="")), unquote),
    "URL form": (quote_plus, unquote_plus),
    "URL form, lower case": (lambda text: lower_escapes(quote_plus(text)), unquote_plus),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("codec", CODECS)
def test_a_secret_is_masked_in_every_form(codec: str, value: str) -> None:
    """Decoding the redacted text gives the text with the mask in the secret's place."""
    encode, decode = CODECS[codec]
    captured = encode(f"before {value} after")
    assert decode(Redactor([Secret(value)]).text(captured)) == f"before {MASK} after"


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_masked_inside_base64(encode: Callable[[bytes], bytes], value: str) -> None:
    """Wherever it starts, only characters that hold bits of its neighbours are left."""
    redactor, size = Redactor([Secret(value)]), len(value.encode())
    for before in range(7):
        for after in range(1, 4):
            encoded = encode(b"u" * before + value.encode() + b"z" * after).decode()
            left, right = redactor.text(encoded).split(MASK)
            assert left == encoded[: -(-before * 8 // 6)]
            assert right == encoded[(before + size) * 8 // 6 :]


@pytest.mark.parametrize("value", VALUES)
def test_base64_of_the_secret_alone_is_masked_whole(value: str) -> None:
    """Neither its last bits nor the padding remain."""
    encoded = base64.b64encode(value.encode()).decode()
    for written in (encoded, encoded.rstrip("=")):
        assert Redactor([Secret(value)]).text(f"<{written}>") == f"<{MASK}>"


def test_whitespace_around_a_value_does_not_hide_it() -> None:
    """A secret read from a file with its line end is also found without."""
    assert Redactor([Secret(" from-a-file\n")]).text("got from-a-file.") == f"got {MASK}."


def test_bytes_that_are_no_text_do_not_stop_the_search() -> None:
    """A value read from an environment in another encoding is masked where it stands."""
    value = "caf\udce9-of-mine"
    assert Redactor([Secret(value)]).text(json.dumps(value)) == f'"{MASK}"'


def test_overlapping_secrets_leave_no_rest() -> None:
    """Containing, crossing and repeating values are masked as one piece."""
    redactor = Redactor(map(Secret, ["abcdefgh", "abcdefgh-long", "gh-long-tail", "xyxyxyxy"]))
    assert redactor.text("1 abcdefgh-long-tail 2") == f"1 {MASK} 2"
    assert redactor.text("1 xyxyxyxyxyx 2") == f"1 {MASK}x 2"
    assert redactor.text("abcdefghabcdefgh") == MASK + MASK


def test_what_is_left_is_exactly_what_belongs_to_no_secret() -> None:
    """For random secrets and texts over two letters, no character too many and none too few."""
    rng = random.Random(11)
    for _ in range(200):
        values = ["".join(rng.choices("ab", k=rng.randint(8, 11))) for _ in range(6)]
        text = "".join(rng.choices("ab", k=300))
        hidden = {
            start + offset
            for value in values
            for start in range(len(text))
            if text.startswith(value, start)
            for offset in range(len(value))
        }
        left = Redactor(map(Secret, values)).text(text).replace(MASK, "")
        assert left == "".join(text[place] for place in range(len(text)) if place not in hidden)


@pytest.mark.parametrize(
    "value", ["", " \n", "guest", "root", "postgres", "Password", "   tiny   "]
)
def test_weak_values_are_masked_in_urls_alone(value: str) -> None:
    """Short or well-known values would mask innocent words; an empty one masks nothing."""
    secret = Secret(value)
    redactor = Redactor([secret])
    words = f"the {value} of {value}://{value}@{value}/{value}?{value} and host:{value}@x"
    assert is_weak(secret)
    assert redactor.text(words) == words
    if word := value.strip():
        assert redactor.text(f"redis://{word}:{word}@h") == f"redis://{word}:{MASK}@h"
        assert redactor.text(f"x a+b://:{word}@{word}/1") == f"x a+b://:{MASK}@{word}/1"


def test_weak_values_are_found_quoted_in_urls_too() -> None:
    """A short password with a sign that URLs quote is masked as it is written there."""
    redactor = Redactor([Secret("p@ss/1")])
    assert not is_weak(Secret("p@ss/1!!")), "eight characters are enough"
    assert redactor.text("redis://u:p%40ss%2f1@h") == f"redis://u:{MASK}@h"
    assert redactor.text("redis://u:p%40ss%2F12@h") == "redis://u:p%40ss%2F12@h"


def test_json_values_are_masked_throughout() -> None:
    """Texts, keys and numbers at any depth; everything else stays as it is."""
    captured = {"a": ["k3y-of-mine", {"k3y-of-mine": None}], "n": 48151623, "x": [True, 1.5, "b"]}
    redacted = Redactor(map(Secret, ["k3y-of-mine", "48151623"])).value(captured)
    assert redacted == {"a": [MASK, {MASK: None}], "n": MASK, "x": [True, 1.5, "b"]}


def test_joining_adds_secrets_to_a_new_redactor() -> None:
    """The first redactor does not learn what the second one knows."""
    first = Redactor([Secret("first-value")])
    second = first.joined([Secret("second-value")])
    assert first.text("first-value second-value") == f"{MASK} second-value"
    assert second.text("first-value second-value") == f"{MASK} {MASK}"


def test_findings_tell_form_and_place_and_never_the_value() -> None:
    """Each has its line from 1, its offset from 0 and the form that was found."""
    value = 'vä"lue-of-mine'
    forms = {
        Form.RAW: value,
        Form.URL: quote(value),
        Form.JSON: json.dumps(value)[1:-1],
        Form.HTML: html.escape(value),
        Form.PYTHON: ascii(value)[1:-1],
        Form.BASE64: base64.b64encode(value.encode()).decode(),
    }
    text = "\n".join(f"x {written}" for written in forms.values())
    findings = Redactor([Secret(value)]).findings(text)
    assert [finding.form for finding in findings] == list(forms)
    assert [finding.line for finding in findings] == list(range(1, 7))
    assert [text[finding.offset - 2 :][:2] for finding in findings] == ["x "] * 6
    assert "lue-of-mine" not in repr(findings)


STREAMED = Redactor(
    map(Secret, ["abcdefgh", "abcdefgh-long", "gh-long-tail", "p@ss", 'q"uoted-one'])
)

TEXTS = (
    "plain abcdefgh and abcdefgh-lon and abcdefgh-long-tail and gh-long-tai",
    "a redis://me:p@ss@host b redis://:p%40ss@host c http://me:p@s d://e://:p@ss@f",
    json.dumps({"text": 'one q"uoted-one two'}) + base64.b64encode(b'xq"uoted-onex').decode(),
    "abcdefgabcdefghabcdefgh-loabcdefgh-long",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_cut_anywhere_reads_like_the_whole(text: str) -> None:
    """Two pieces cut at every place, single characters and random pieces all give the same."""
    rng = random.Random(5)
    cuts = [[cut] for cut in range(len(text))] + [list(range(len(text)))]
    cuts += [sorted(rng.sample(range(len(text)), 4)) for _ in range(200)]
    assert MASK in STREAMED.text(text)
    for places in cuts:
        stream = StreamRedactor(STREAMED)
        pieces = zip([0, *places], [*places, len(text)], strict=True)
        shown = "".join(stream.feed(text[start:end]) for start, end in pieces)
        assert shown + stream.flush() == STREAMED.text(text), places


@pytest.mark.parametrize("value", VALUES)
def test_a_stream_finds_every_form_cut_anywhere(value: str) -> None:
    """Each form, base64 included, cut into two at every place, reads like the whole."""
    redactor = Redactor([Secret(value)])
    captured = [encode(f"<{value}>") for encode, _ in CODECS.values()]
    for text in (*captured, base64.b64encode(value.encode()).decode()):
        for cut in range(len(text)):
            stream = StreamRedactor(redactor)
            shown = stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush()
            assert shown == redactor.text(text)


def test_a_stream_shows_ordinary_text_at_once() -> None:
    """Nothing is held that could not become a secret, and no longer than it could."""
    stream = StreamRedactor(STREAMED)
    for piece in ("hello", " 50 %|###   |\r", "redis://me:", "other@host\n", "http://p@"):
        assert stream.feed(piece) == piece
    assert [stream.feed(piece) for piece in ("x ab", "cd", "X")] == ["x ", "", "abcdX"]
    assert [stream.feed(piece) for piece in ("abcdefgh", "!")] == ["", f"{MASK}!"]


def test_a_flushed_stream_starts_anew() -> None:
    """Flushing shows what was held; what comes later is not joined to it."""
    stream = StreamRedactor(STREAMED)
    assert stream.feed("abcd") + stream.flush() + stream.feed("efgh.") == "abcdefgh."
    assert stream.feed("redis://u:") + stream.flush() + stream.feed("p@ss@") == "redis://u:p@ss@"
