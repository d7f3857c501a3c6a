"""Expressions of `-k`: which names they stand for, and what is said of those that are none."""

from __future__ import annotations

import re

import pytest

from labkit.batch.expression import parse_expression
from labkit.errors import UsageError

NAMES = ("acid_rollback", "cache_rollback", "cache_ttl", "pool")


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("rollback", "acid_rollback cache_rollback"),
        ("ROLLback", "acid_rollback cache_rollback"),
        ("not rollback", "cache_ttl pool"),
        ("rollback and cache", "cache_rollback"),
        ("pool or cache and ttl", "cache_ttl pool"),
        ("(pool or cache) and ttl", "cache_ttl"),
        ("not (pool or cache)", "acid_rollback"),
        ("not not pool", "pool"),
        ("not pool and not cache", "acid_rollback"),
        ("not pool or pool", "acid_rollback cache_rollback cache_ttl pool"),
        ("  acid_rollback  ", "acid_rollback"),
        ("(((pool)))", "pool"),
        ("notpool or orpool", ""),
    ],
)
def test_what_an_expression_selects(expression: str, selected: str) -> None:
    """A word is a part of a name in any case; not binds more than and, and that more than or."""
    matches = parse_expression(expression)
    assert " ".join(name for name in NAMES if matches([name])) == selected


def test_a_word_may_stand_in_any_of_several_names() -> None:
    """What has several names, as a check and its notebook, is meant by each of them."""
    matches = parse_expression("cache and ttl and not pool")
    assert matches(["ttl_is_kept", "redis_cache"])
    assert not matches(["ttl_is_kept", "redis_cache", "pool"])


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "at character 1 there should be a word, not or an opening parenthesis, not the end"),
        ("cache and", "at character 10 there should be a word, not or an opening parenthesis"),
        ("or cache", "at character 1 there should be a word, not or an opening parenthesis, not"),
        ("cache pool", "at character 7 there should be and, or, or the end, not 'pool'"),
        ("(cache", "at character 7 there should be a closing parenthesis, not the end"),
        ("cache)", "at character 6 there should be and, or, or the end, not ')'"),
        ("cache == 'a'", "at character 6 there should be letters, digits and _.:+- for a word"),
        ("not " * 60 + "pool", "no more than 50 levels"),
    ],
)
def test_what_is_no_expression(expression: str, told: str) -> None:
    """The error shows the place, what should stand there, and an expression that can be read."""
    with pytest.raises(UsageError, match=re.escape(told)) as raised:
        parse_expression(expression)
    assert "write such as 'rollback and not cache'" in str(raised.value)
