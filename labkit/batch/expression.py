"""Expressions that select by name, as pytest's `-k` knows them: `rollback and not (cache or pool)`.

A word stands for every name that contains it, in upper or lower case; `not` binds most, then `and`,
then `or`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from labkit.errors import UsageError

Matches = Callable[[Collection[str]], bool]
"""Whether an expression holds for what has these names."""

_TOKEN: Final = re.compile(r"\s*([()]|[\w.:+-]+|$)")
_RESERVED: Final = frozenset({"and", "or", "not", "(", ")", ""})
_DEEPEST: Final = 50


def parse_expression(text: str) -> Matches:
    """What the expression means; raises `UsageError` with the place where it is none."""
    reading = _Reading(text)
    matches = reading.either(0)
    if reading.token:
        raise reading.fault("and, or, or the end")
    return matches


class _Reading:
    """Reads an expression from left to right, a method for each of its forms."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = self._end = 0
        self.token = ""
        self._advance()

    def either(self, depth: int) -> Matches:
        """Parts with `or` between them."""
        parts = [self.both(depth)]
        while self._take("or"):
            parts.append(self.both(depth))
        return lambda names: any(part(names) for part in parts)

    def both(self, depth: int) -> Matches:
        """Parts with `and` between them."""
        parts = [self.one(depth)]
        while self._take("and"):
            parts.append(self.one(depth))
        return lambda names: all(part(names) for part in parts)

    def one(self, depth: int) -> Matches:
        """A word, or `not` or parentheses and what they hold."""
        if depth > _DEEPEST:
            raise self.fault(f"no more than {_DEEPEST} levels")
        if self._take("not"):
            inner = self.one(depth + 1)
            return lambda names: not inner(names)
        if self._take("("):
            grouped = self.either(depth + 1)
            if not self._take(")"):
                raise self.fault("a closing parenthesis")
            return grouped
        return self._word()

    def _word(self) -> Matches:
        word = self.token.lower()
        if word in _RESERVED:
            raise self.fault("a word, not or an opening parenthesis")
        self._advance()
        return lambda names: any(word in name.lower() for name in names)

    def _take(self, token: str) -> bool:
        if self.token != token:
            return False
        self._advance()
        return True

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._end)
        if found is None:
            self._at, self.token = self._end, self._text[self._end :].strip()
            raise self.fault("letters, digits and _.:+- for a word")
        self._at, self._end, self.token = found.start(1), found.end(), found[1]

    def fault(self, wanted: str) -> UsageError:
        """The error that says what should stand where something else does."""
        there = f"{self.token!r:.40}" if self.token else "the end"
        return UsageError(
            f"-k {self._text!r:.120} cannot be read: at character {self._at + 1} there should be"
            f" {wanted}, not {there}; write such as 'rollback and not cache'"
        )
