"""Each kind of id is a type of its own, in the TypeID specification's form.

The examples in `data/typeid_valid.json` and `data/typeid_invalid.json` are the specification's own:
`spec/valid.yml` and `spec/invalid.yml` of jetify-com/typeid, version 0.3.0.
"""

import json
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest

from labkit import ids
from labkit.errors import IdError
from labkit.ids import ThreadID, TypedID, UserID, decode_typeid, encode_typeid, ensure_user_id

HERE = Path(__file__).parent
KINDS = TypedID.__subclasses__()
ENSURE: dict[type[TypedID], Callable[[object], TypedID]] = {
    kind: getattr(ids, f"ensure_{kind.prefix}_id") for kind in KINDS
}
EXAMPLE = "user_01h455vb4pex5vsknk084sn02q"


def examples(name: str) -> list[dict[str, str]]:
    """The specification's examples of one file."""
    loaded: list[dict[str, str]] = json.loads((HERE / "data" / name).read_text("utf-8"))
    return loaded


@pytest.mark.parametrize("example", examples("typeid_valid.json"), ids=lambda it: it["name"])
def test_a_valid_example_is_read_and_written_alike(example: dict[str, str]) -> None:
    """Decoding gives the example's prefix and UUID, encoding these gives the example."""
    assert decode_typeid(example["typeid"]) == (example["prefix"], UUID(example["uuid"]))
    assert encode_typeid(example["prefix"], UUID(example["uuid"])) == example["typeid"]


@pytest.mark.parametrize("example", examples("typeid_invalid.json"), ids=lambda it: it["name"])
def test_an_invalid_example_is_refused(example: dict[str, str]) -> None:
    """Decoding raises an error that repeats the text."""
    with pytest.raises(IdError, match="is no id"):
        decode_typeid(example["typeid"])


@pytest.mark.parametrize("prefix", ["User", "_user", "user_", "_", "us3r", "user\n", "a" * 64])
def test_a_wrong_prefix_is_never_written(prefix: str) -> None:
    """Encoding refuses what decoding would."""
    with pytest.raises(IdError, match="is no prefix"):
        encode_typeid(prefix, UUID(int=0))


@pytest.mark.parametrize("prefix", ["", "a", "ab", "a_b", "a__b", "a" * 63])
def test_random_uuids_come_back(prefix: str) -> None:
    """Whatever the 128 bits, decoding what was encoded gives them back."""
    rng = random.Random(7)
    for _ in range(300):
        uuid = UUID(int=rng.getrandbits(128))
        assert decode_typeid(encode_typeid(prefix, uuid)) == (prefix, uuid)


def test_a_line_end_is_no_part_of_an_id() -> None:
    """An id with a trailing line end is refused when read strictly."""
    with pytest.raises(IdError):
        UserID.parse(EXAMPLE + "\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_id_holds_a_uuid_of_version_7(kind: type[TypedID]) -> None:
    """Its prefix names the kind; version and variant bits are those of RFC 9562."""
    made = kind.new()
    assert made.startswith(f"{kind.prefix}_")
    assert (made.uuid.version, made.uuid.variant) == (7, RFC_4122)
    assert kind.parse(made) == made


def test_time_and_randomness_come_from_what_is_passed_in() -> None:
    """All of the clock's milliseconds and of the 74 random bits stand in the id."""
    made = UserID.new(clock=lambda: 1645557742.5, random_bits=lambda bits: (1 << bits) - 1)
    assert made.created_at_ms == 1645557742500
    assert made.uuid == UUID("017f22e2-7ba4-7fff-bfff-ffffffffffff")
    assert UserID.new(clock=lambda: 0, random_bits=lambda _: 0).uuid.int == 0x7 << 76 | 0b10 << 62


def test_later_ids_sort_after_earlier_ones() -> None:
    """The order of texts is the order of times."""
    times = iter(range(0, 10**10, 10**8))
    made = [UserID.new(clock=times.__next__) for _ in range(100)]
    assert made == sorted(made)


def test_new_ids_differ() -> None:
    """Ids made in the same millisecond are distinct."""
    assert len({UserID.new(clock=lambda: 1.0) for _ in range(1000)}) == 1000


def test_every_kind_has_its_own_prefix() -> None:
    """No two kinds can be taken for each other."""
    assert len({kind.prefix for kind in KINDS}) == len(KINDS) == 13


def test_an_id_travels_as_text() -> None:
    """JSON writes it as a string; a pickled id keeps its kind."""
    made = UserID.new()
    assert json.loads(json.dumps([made])) == [str(made)]
    assert type(pickle.loads(pickle.dumps(made))) is UserID  # noqa: S301 - made one line above


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_from_outside_is_stripped_and_typed(kind: type[TypedID]) -> None:
    """Text with whitespace around it, and an id of the kind itself, become that id."""
    made = kind.new()
    for given in (f" \t{made}\n", str(made), made):
        assert ENSURE[kind](given) == made
        assert type(ENSURE[kind](given)) is kind


@pytest.mark.parametrize("kind", KINDS)
def test_anything_else_from_outside_is_refused_by_name(kind: type[TypedID]) -> None:
    """Nothing, other types and ids of every other kind raise a `ValueError` that names the kind."""
    others = [other.new() for other in KINDS if other is not kind]
    wrong = ["", " \n", None, 7, b"user_", [kind.new()], *others, *map(str, others)]
    for value in wrong:
        with pytest.raises(ValueError, match=kind.__name__):
            ENSURE[kind](value)


@pytest.mark.parametrize("text", ["garbage", "", "user", EXAMPLE.upper(), f" {EXAMPLE}"])
def test_no_id_is_made_of_a_wrong_text(text: str) -> None:
    """The type cannot hold a text that is no id, however it is called."""
    for make in (UserID, UserID.parse):
        with pytest.raises(IdError):
            make(text)


def test_an_id_of_another_kind_is_refused_at_run_time() -> None:
    """Where no type checker looked, the message names both kinds."""
    with pytest.raises(IdError, match="cannot be a UserID: it is a ThreadID"):
        ensure_user_id(ThreadID.new())


def test_a_type_checker_tells_the_kinds_apart(tmp_path: Path) -> None:
    """The checker accepts the right sample, and refuses each line of the one that mixes kinds."""
    right, mixed = tmp_path / "ids_ok.py", tmp_path / "ids_mixed.py"
    shutil.copy(HERE / "typing" / "ids_ok.py", right)
    shutil.copy(HERE / "typing" / "ids_mixed.py.txt", mixed)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}/cache", right, mixed],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
        timeout=120,
        check=False,
    )
    *errors, summary = checked.stdout.splitlines()
    lines = mixed.read_text("utf-8").splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line.startswith("show(")]
    assert len(wrong) == 3, "the sample's mistakes"
    assert [line.split(":")[:2] for line in errors] == [[str(mixed), str(n)] for n in wrong]
    assert all(line.endswith("[arg-type]") for line in errors)
    assert summary.startswith("Found 3 errors in 1 file"), checked.stderr
