"""Canaries in all their forms, found where they do not belong and missed where they do."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from itertools import product
from typing import Final

import pytest

from labkit.judges.leakage import (
    Canary,
    Channel,
    Finding,
    LeakageHistory,
    Sighting,
    canary,
    judge_leakage,
    leakage_matrix,
)
from labkit.judges.verdict import Verdict

USERS: Final = ("alice", "bob", "carol")
CANARIES: Final = {user: canary(user, random.Random(user)) for user in USERS}
ALICE: Final = CANARIES["alice"].token

GOOD: Final = LeakageHistory(
    canaries=tuple(CANARIES.values()),
    sightings=tuple(
        Sighting(user, channel, f"what {CANARIES[user].token} wrote, as seen by {channel}")
        for user, channel in product(USERS, Channel)
    ),
    controls=frozenset(Channel),
)


def with_sighting(user: str, channel: Channel, text: str) -> LeakageHistory:
    """The good history, and one more text that somebody saw."""
    return replace(GOOD, sightings=(*GOOD.sightings, Sighting(user, channel, text)))


def base64_of(text: str, shift: int) -> str:
    """A text in base64, that many bytes into a group of three, with something behind it."""
    return base64.b64encode(b"x" * shift + text.encode() + b" and more").decode()


FORMS: Final = {
    "plain": ALICE,
    "in JSON": json.dumps({"text": [f"recall {ALICE}"]}),
    "upper case": ALICE.upper(),
    "in mixed case": ALICE[:9].upper() + ALICE[9:],
    "reversed": ALICE[::-1],
    "reversed upper case": ALICE[::-1].upper(),
    "hex": ALICE.encode().hex(),
    "hex of upper case": ALICE.upper().encode().hex(),
    "upper case hex": ALICE.encode().hex().upper(),
    **{f"base64, {shift} off": base64_of(ALICE, shift) for shift in range(5)},
    **{f"base64 of upper case, {shift} off": base64_of(ALICE.upper(), shift) for shift in range(3)},
    "base64 to the end": base64.b64encode(ALICE.encode()).decode(),
    "base64 among bytes": base64.b64encode(b"\xfb\xff" + ALICE.encode() + b"\xfb\xff").decode(),
    "url-safe base64": base64.urlsafe_b64encode(b"\xfb\xff" + ALICE.encode() + b"\xfb").decode(),
    "base64 in lines": base64.encodebytes(b"-" * 40 + ALICE.encode() + b"-" * 40).decode(),
}


def test_everybody_who_sees_only_their_own_is_sound() -> None:
    """All own canaries found and no other: the verdict says how much was searched."""
    verdict = judge_leakage(GOOD)

    assert verdict.valid is True
    assert verdict.detail == (
        "15 texts searched for the canaries of 3 users: everybody's own canary is there, "
        "and no other."
    )


@pytest.mark.parametrize("text", list(FORMS.values()), ids=list(FORMS))
@pytest.mark.parametrize("channel", Channel)
def test_a_canary_is_found_in_every_form(channel: Channel, text: str) -> None:
    """Whatever was done to another's token on its way, it is a leak, by any channel."""
    verdict = judge_leakage(with_sighting("bob", channel, f"before {text} behind"))

    assert (verdict.valid, verdict.reason, verdict.count) == (False, "leak", 1)
    assert verdict.first.startswith(f"by {channel}, bob saw the canary of alice, ")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("plain", "upper case"),
        ("reversed", "reversed upper case"),
        ("in hex", "hex of upper case"),
        ("in base64", "base64, 1 off"),
    ],
)
def test_a_leak_is_told_by_its_form(form: str, name: str) -> None:
    """Whoever reads of it knows what to look for: the letters' case does not matter."""
    verdict = judge_leakage(with_sighting("bob", Channel.READ, FORMS[name]))

    assert verdict.first.startswith(f"by read, bob saw the canary of alice, {form}: '")


@pytest.mark.parametrize("text", list(FORMS.values()), ids=list(FORMS))
def test_an_own_canary_is_found_in_every_form(text: str) -> None:
    """What is a leak elsewhere is the positive control at home."""
    history = LeakageHistory(
        canaries=GOOD.canaries[:2],
        sightings=(
            Sighting("alice", Channel.READ, text),
            Sighting("bob", Channel.READ, CANARIES["bob"].token),
        ),
        controls=frozenset({Channel.READ}),
    )

    assert judge_leakage(history).valid is True


def test_part_of_a_canary_is_no_canary() -> None:
    """All of the token must be there, but for what base64 shares with its neighbours."""
    plain = f"{ALICE[1:]} {ALICE[:-1]} {ALICE[1:].encode().hex()}"
    almost = " ".join([plain, *(base64_of(ALICE[:-1], shift) for shift in range(3))])

    assert judge_leakage(with_sighting("bob", Channel.READ, almost)).valid is True


def test_a_leak_shows_the_text_around_it() -> None:
    """The first example says who saw whose canary, how, in which form and where in the text."""
    text = "x" * 500 + f'"message": "{ALICE}"' + "y" * 500
    verdict = judge_leakage(with_sighting("bob", Channel.MODEL, text))

    assert verdict.first == (
        "by model, bob saw the canary of alice, plain: "
        f"""'{"x" * 8}"message": "{ALICE}"{"y" * 27}'"""
    )


def test_of_a_canary_that_stands_twice_in_a_text_the_first_place_is_shown() -> None:
    """Near the beginning of a text the excerpt begins with it."""
    text = f"of {ALICE}{'x' * 100}{ALICE}"
    verdict = judge_leakage(with_sighting("bob", Channel.MODEL, text))

    assert verdict.first.endswith(f": 'of {ALICE}{'x' * 28}'")


def test_leaks_are_counted_by_seer_channel_and_owner() -> None:
    """The same leak in many texts is one; the worst is where most owners were seen."""
    everything = " ".join(one.token for one in CANARIES.values())
    seen = [("carol", Channel.READ, ALICE)] * 3 + [("bob", Channel.CACHE, everything)] * 2
    more = tuple(Sighting(*one) for one in seen)
    verdict = judge_leakage(replace(GOOD, sightings=(*GOOD.sightings, *more, more[0])))

    assert (verdict.reason, verdict.count) == ("leak", 3)
    assert verdict.first.startswith("by read, carol saw the canary of alice, plain: ")
    assert verdict.worst == "by cache, bob saw the canaries of 2: alice, carol"
    assert verdict.detail.startswith("21 texts searched for the canaries of 3 users; 3 violations")


def test_a_stranger_may_see_nothing_and_needs_no_control() -> None:
    """Who has no canary is searched, too."""
    assert judge_leakage(with_sighting("mallory", Channel.READ, "refused")).valid is True
    verdict = judge_leakage(with_sighting("mallory", Channel.READ, ALICE))

    assert verdict.first.startswith("by read, mallory saw the canary of alice")


@pytest.mark.parametrize(("user", "channel"), list(product(USERS, Channel)))
def test_a_silent_control_is_unknown(user: str, channel: Channel) -> None:
    """Without one own canary where it must be, nothing is known of the search."""
    kept = tuple(one for one in GOOD.sightings if (one.user, one.channel) != (user, channel))
    verdict = judge_leakage(replace(GOOD, sightings=kept))

    assert (verdict.valid, verdict.reason) == (None, "silent-control")
    assert verdict.detail == (
        f"1 controls are silent: the first own canary not found is {user} by {channel}."
    )
    silent = replace(GOOD, sightings=(*kept, Sighting(user, channel, "nothing of note")))
    assert judge_leakage(silent).reason == "silent-control"


def test_a_channel_without_control_may_be_silent() -> None:
    """Own canaries need only show where they are expected."""
    kept = tuple(one for one in GOOD.sightings if one.channel is Channel.READ)
    history = replace(GOOD, sightings=kept, controls=frozenset({Channel.READ}))

    assert judge_leakage(history).valid is True


FEWER_THAN_TWO: Final = Verdict.unknown("no-canary", "Fewer than two users have a canary.")


@pytest.mark.parametrize(
    ("unknown", "history"),
    [
        (FEWER_THAN_TWO, LeakageHistory((), (), frozenset())),
        (FEWER_THAN_TWO, replace(GOOD, canaries=GOOD.canaries[:1], sightings=GOOD.sightings[:5])),
        (
            Verdict.unknown("no-sighting", "Nobody looked at anything."),
            replace(GOOD, sightings=()),
        ),
        (
            Verdict.unknown("no-control", "No channel is named where own canaries must show."),
            replace(GOOD, controls=frozenset()),
        ),
    ],
)
def test_too_little_to_search_is_unknown(unknown: Verdict, history: LeakageHistory) -> None:
    """No two users, no text, or no channel to trust: no verdict, and it is told what is missing."""
    assert judge_leakage(history) == unknown


def test_a_leak_outweighs_what_is_missing() -> None:
    """A foreign canary is told even where controls are silent."""
    history = replace(GOOD, sightings=(Sighting("bob", Channel.READ, ALICE),), controls=frozenset())

    assert judge_leakage(history).reason == "leak"


def test_the_matrix_says_what_was_found_where() -> None:
    """Each cell is the worst that was found: another's, the own, none, or nothing seen at all."""
    history = LeakageHistory(
        canaries=GOOD.canaries,
        sightings=(
            Sighting("alice", Channel.READ, ALICE),
            Sighting("bob", Channel.READ, f"{CANARIES['bob'].token} and {ALICE}"),
            Sighting("bob", Channel.MODEL, "hello"),
            Sighting("mallory", Channel.READ, "refused"),
        ),
        controls=frozenset({Channel.EVENTS}),
    )
    matrix = leakage_matrix(history)

    assert matrix.users == ("alice", "bob", "carol", "mallory")
    assert matrix.channels == (Channel.READ, Channel.MODEL, Channel.EVENTS)
    assert matrix.finding("alice", Channel.READ) is Finding.OWN
    assert matrix.finding("bob", Channel.READ) is Finding.FOREIGN
    assert matrix.foreign("bob", Channel.READ) == {"alice"}
    assert matrix.finding("bob", Channel.MODEL) is Finding.SILENT
    assert matrix.foreign("bob", Channel.MODEL) == frozenset()
    assert matrix.finding("carol", Channel.EVENTS) is Finding.NOTHING
    assert matrix.foreign("carol", Channel.EVENTS) == frozenset()
    assert matrix.is_silent("carol", Channel.EVENTS)
    assert not matrix.is_silent("mallory", Channel.EVENTS)
    assert not matrix.is_silent("bob", Channel.MODEL)
    assert not leakage_matrix(GOOD).is_silent("bob", Channel.EVENTS)


def test_canaries_come_from_the_seed_alone() -> None:
    """The same source gives the same token, the next one another, all of 32 characters."""
    chance = random.Random(7)
    tokens = [canary("alice", chance).token for _ in range(100)]

    assert canary("bob", random.Random(7)) == Canary("bob", tokens[0])
    assert len(set(tokens)) == 100
    assert {len(token) for token in tokens} == {32}


@pytest.mark.parametrize("token", ["", "0123456789abcde", "0123456789abcdeg", "0123456789ABCDEF"])
def test_a_canary_is_long_and_hex(token: str) -> None:
    """What could stand in a text by chance, or changes with its case, is refused."""
    with pytest.raises(ValueError, match="is no canary's token"):
        Canary("alice", token)
