"""Keys of different users and names never meet, whatever their texts are made of."""

import itertools
import re

import pytest

from labkit.reference.cache.keyspace import KeySpace, Kind

KEYS = KeySpace("lab:")

AWKWARD = (
    *("", "a", "a:b", "a%3Ab", "a%253Ab", "b", ":", "::", "*", "?", "[a]", "\\", "\n", "\0", " "),
    *("A", "å", "a\u030a", "\U0001f600", "\ud83d", "user:a:", "cache", "a:cache:b", "%"),
)


def test_a_key_says_whose_it_is_and_what_it_holds() -> None:
    """The parts stand in it one after the other."""
    assert KEYS.key("ann", Kind.EVENTS) == "lab:user:ann:events"
    assert KEYS.named("ann", Kind.CACHE, "profile") == "lab:user:ann:cache:profile"


def test_no_two_users_and_names_give_one_key() -> None:
    """Each pair of awkward texts has a key of its own, in each kind."""
    pairs = list(itertools.product(AWKWARD, AWKWARD))
    keys = {KEYS.named(user, kind, name) for user, name in pairs for kind in Kind}
    single = {KEYS.key(user, kind) for user in AWKWARD for kind in Kind}
    assert len(keys) == len(pairs) * len(Kind)
    assert len(single) == len(AWKWARD) * len(Kind)
    assert keys.isdisjoint(single)


@pytest.mark.parametrize("user", AWKWARD)
def test_a_prefix_is_one_users_alone(user: str) -> None:
    """All of a user's keys begin with it, and nobody else's."""
    beginning = KEYS.of_user(user)
    for other, name in itertools.product(AWKWARD, AWKWARD):
        keys = (KEYS.key(other, Kind.QUALITY), KEYS.named(other, Kind.CACHE, name))
        assert [key.startswith(beginning) for key in keys] == [other == user] * 2


@pytest.mark.parametrize("text", AWKWARD)
def test_nothing_in_a_key_means_anything_in_a_pattern(text: str) -> None:
    """Neither a glob nor a separator nor a control character comes through."""
    key = KEYS.named(text, Kind.CACHE, text)
    assert re.fullmatch(r"lab:user:[\w.~%-]*:cache:[\w.~%-]*", key, re.ASCII)


def test_a_kind_is_no_beginning_of_another() -> None:
    """What begins like the keys of one kind is of that kind."""
    for kind, other in itertools.permutations(Kind, 2):
        assert not KEYS.named("ann", other, "x").startswith(KEYS.of_kind("ann", kind))
