"""What a parameters cell declares, and how given values are bound to it."""

import ast
import os
from pathlib import Path

import papermill
import pytest

from labkit.errors import ParameterError
from labkit.json_values import JsonValue
from labkit.notebook import read_notebook
from labkit.parameter_types import describe
from labkit.parameters import (
    Fault,
    Given,
    Letter,
    Parameter,
    read_file,
    read_parameters,
    read_yaml_text,
)
from tests.notebook_files import write_with_parameters

PARAMS = Path(__file__).parents[1] / "params"

NOTEBOOKS = PARAMS.with_name("notebooks")

AREA_4 = '''
"""What this notebook can be told."""
from typing import Literal  # imports may stand here

environment: str = "test"
target: str = "labkit.reference:Platform"
seed: int = 20260101
users: int = 5  # users who work at once
threads_per_user: int = 3
messages_per_thread: int = 2
sessions: int = 10
accounts: int = 8
transfers: int = 60
check_deadline_s: float = 30.0
'''


def declared(source: str) -> Parameter:
    """The one parameter that a cell declares."""
    parameters, faults = read_parameters(ast.parse(source))
    assert faults == ()
    (parameter,) = parameters
    return parameter


def faults_of(source: str) -> tuple[Fault, ...]:
    """What is wrong with a cell."""
    return read_parameters(ast.parse(source))[1]


def bound(declaration: str, value: JsonValue, letter: Letter) -> JsonValue:
    """What a value that was given becomes under a declaration."""
    parameter = declared(declaration)
    return Given(parameter.name, value, letter, letter.value).bind(parameter, "area.ipynb")


def refusal(declaration: str, value: JsonValue, letter: Letter) -> str:
    """The message with which a value that was given is refused."""
    with pytest.raises(ParameterError) as caught:
        bound(declaration, value, letter)
    return str(caught.value)


def test_read_parameters() -> None:
    """Annotated names with JSON defaults are parameters; imports and docstrings may stand by."""
    parameters, faults = read_parameters(ast.parse(AREA_4))

    assert faults == ()
    assert [one.name for one in parameters][:3] == ["environment", "target", "seed"]
    assert (describe(parameters[-1].type), parameters[-1].default) == ("float", 30.0)


@pytest.mark.parametrize(
    ("source", "described", "default"),
    [
        ("x: int | None = None", "int | None", None),
        ("x: Literal['a', 'b'] = 'a'", "Literal['a', 'b']", "a"),
        ("x: str = 'redis://h/#0'", "str", "redis://h/#0"),
        ("x: float = 1", "float", 1.0),
        ("x = -5", "int", -5),
        ("x = True", "bool", True),
        ("x = [1, 'a']", "list", [1, "a"]),
        ("x = {'a': None}", "dict", {"a": None}),
        ("x = None", "Any", None),
        ("x: 'list[int]' = []", "list[int]", []),
    ],
)
def test_declaration(source: str, described: str, default: JsonValue) -> None:
    """A declaration has the annotated type, or its default's where there is none."""
    parameter = declared(source)

    assert (describe(parameter.type), parameter.default) == (described, default)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x: int = 'five'", "the default 'five' of x is not int"),
        ("x: int = True", "the default True of x is not int"),
        ("x: int = None", "the default None of x is not int"),
        ("x: int", "x has no default"),
        ("x: tuple = ()", "tuple is not a type"),
        ("x = (1, 2)", "not a literal JSON value"),
        ("x = 1e999", "not a literal JSON value"),
        ("x = os.environ['HOME']", "not a literal JSON value"),
        ("x = {[]: 1}", "not a literal JSON value"),
        ("x = {1: 2}", "not a literal JSON value"),
        ("x = y = 1", "declares no parameter"),
        ("x, y = 1, 2", "declares no parameter"),
        ("x += 1", "declares no parameter"),
        ("print('hello')", "declares no parameter"),
        ("if True:\n    x = 1", "declares no parameter"),
        ("x.y = 1", "declares no parameter"),
        ("lab = 1", "lab is a name that the notebook itself uses"),
        ("check: str = ''", "check is a name that the notebook itself uses"),
        ("__name__ = 'x'", "__name__ is a name that the notebook itself uses"),
        ("api_key: str = ''", "nothing secret is ever a parameter"),
        ("db_password = None", "nothing secret is ever a parameter"),
        ("url = 'redis://:hunter2@host/0'", "holds a password"),
        ("x: " + " | ".join(["int"] * 700) + " = 1", "recursion"),
    ],
)
def test_refused_declaration(source: str, told: str) -> None:
    """What is no typed name with a JSON default is refused, and nothing of it is executed."""
    (fault,) = faults_of(source)

    assert told in fault.text
    assert "hunter2" not in fault.text


def test_all_declarations_at_once() -> None:
    """Every fault of a cell is told, each with its line."""
    faults = faults_of("a = 1\na = 2\nlab = 3\nb: int = 4\nc: int")

    assert [fault.line for fault in faults] == [2, 3, 5]
    assert faults[0].text == "a is declared twice; keep one"


def test_declared_type_decides() -> None:
    """A text given by -p becomes what the declared type makes of it, never what it looks like."""
    assert bound("title: str = ''", "123", Letter.TEXT) == "123"
    assert bound("users: int = 5", "123", Letter.TEXT) == 123
    assert bound("users: int | None = 5", "None", Letter.TEXT) is None
    assert bound("sizes: list[int] = []", "[1, 2]", Letter.TEXT) == [1, 2]


def test_raw_text() -> None:
    """A text given by -r stays one, and is refused where no text is declared."""
    assert bound("title: str | int = ''", "123", Letter.RAW) == "123"
    assert "not '123' from -r" in refusal("users: int = 5", "123", Letter.RAW)


def test_value_from_yaml() -> None:
    """A value from YAML must be of the declared type; only an int becomes a float."""
    assert repr(bound("ratio: float = 0.5", 1, Letter.YAML)) == "1.0"
    assert "not '5' from -y" in refusal("users: int = 5", "5", Letter.YAML)
    assert "not a list from -y" in refusal("users: list[int] = []", [True], Letter.YAML)


def test_refused_value() -> None:
    """A refusal names the parameter, its type, its notebook, the value and where it came from."""
    assert refusal("users: int = 5", "many", Letter.TEXT) == (
        "users must be int, as area.ipynb declares it, not 'many' from -p; give it another value"
    )


def test_refused_collection() -> None:
    """A list or mapping that does not fit is named by its kind, since it may hold anything."""
    assert "not a mapping from -y" in refusal("x: int = 5", {"password": "hunter2"}, Letter.YAML)
    assert "not a list from -y" in refusal("x: int = 5", ["hunter2"], Letter.YAML)


@pytest.mark.parametrize("value", ["redis://u:hunter2@host/0", ["redis://u:hunter2@host/0"]])
def test_password_in_a_value(value: JsonValue) -> None:
    """A URL with a password is refused as a value, since parameters are written down."""
    text = refusal("where = None", value, Letter.YAML)

    assert "put it into the environment" in text
    assert "hunter2" not in text


def test_unknown_name() -> None:
    """It comes with the notebooks that were meant, and the nearest known one or all of them."""
    known = {"users", "sessions"}

    near = Given("user", "hunter2", Letter.TEXT, "-p").unknown_among(known, ["first", "second"])
    far = Given("elephants", "hunter2", Letter.TEXT, "-p").unknown_among(known, [])

    assert "that it could be for (first, second); " in str(near)
    assert str(near).endswith("did you mean users?")
    assert str(far).endswith("known are sessions, users")


def test_unknown_secret() -> None:
    """A secret that was given by name is refused without its value, with the place for it."""
    text = str(Given("api_token", "hunter2", Letter.TEXT, "-p").unknown_among({"users"}, ["first"]))

    assert "put it into the environment" in text
    assert "hunter2" not in text


def test_read_file(tmp_path: Path) -> None:
    """A file's values come in its order, each with the file as its origin."""
    path = tmp_path / "fast.yaml"
    path.write_text("users: 2\nsince: 2026-01-01\n")

    assert read_file(path, Letter.FILE, "fast.yaml") == (
        Given("users", 2, Letter.FILE, "fast.yaml"),
        Given("since", "2026-01-01", Letter.FILE, "fast.yaml"),
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: [", "line 1"),
        (b"- a", "not a mapping"),
        (b"a: 1\na: 2", "given twice"),
        (b"\xff", "not text in UTF-8"),
        (b"a" * 1_000_001, "longer than 1,000,000 bytes"),
    ],
)
def test_refused_file(tmp_path: Path, content: bytes, told: str) -> None:
    """A file that gives no parameters is refused with its name and the reason."""
    path = tmp_path / "fast.yaml"
    path.write_bytes(content)

    with pytest.raises(ParameterError, match=rf"^fast\.yaml .*{told}"):
        read_file(path, Letter.FILE, "fast.yaml")


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there, or is a pipe or a path that cannot be, is refused."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing.yaml", "pipe", "a" * 300):
        with pytest.raises(ParameterError):
            read_file(tmp_path / name, Letter.FILE, name)


def test_read_yaml_text() -> None:
    """A YAML text gives its values, and its faults name the option."""
    assert read_yaml_text("users: 2", Letter.YAML, "-y") == (Given("users", 2, Letter.YAML, "-y"),)
    with pytest.raises(ParameterError, match=r"^-y does not give parameters: it is not a mapping"):
        read_yaml_text("users", Letter.YAML, "-y")


def of_all_notebooks() -> dict[str, Parameter]:
    """The parameters of all notebooks by name; those that they share are the same in all."""
    found: dict[str, Parameter] = {}
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        for one in read_notebook(notebook).parameters:
            assert found.setdefault(one.name, one).default == one.default, (notebook, one)
    return found


@pytest.mark.parametrize("environment", ["test", "development", "staging", "production"])
def test_params_fit_the_declarations(environment: str) -> None:
    """Each file in `params` gives its environment, and only values that fit the declarations."""
    parameters = of_all_notebooks()
    given = read_file(PARAMS / f"{environment}.yaml", Letter.FILE, environment)

    values = {one.name: one.bind(parameters[one.name], "area") for one in given}

    assert values["environment"] == environment


def test_params_for_stress_fit_the_declarations() -> None:
    """An overlay names known parameters with fitting values, and leaves the environment alone."""
    parameters = of_all_notebooks()
    given = read_file(PARAMS / "stress.yaml", Letter.FILE, "stress")

    values = {one.name: one.bind(parameters[one.name], "area") for one in given}

    assert "environment" not in values
    assert values["notified_users"] == 50
    assert values["connections_per_user"] == 10
    assert values["runs_per_notified_user"] == 4


def test_params_for_fast_feedback_are_smaller_than_those_of_test() -> None:
    """An overlay for sizes of every area: each is known, fits, and is at most what `test` has."""
    parameters = of_all_notebooks()
    given = read_file(PARAMS / "fast.yaml", Letter.FILE, "fast")

    values = {one.name: one.bind(parameters[one.name], "area") for one in given}
    usual = {one.name: one.value for one in read_file(PARAMS / "test.yaml", Letter.FILE, "test")}
    larger = {name for name, value in values.items() if not value <= usual[name]}  # type: ignore[operator]  # all are numbers
    areas = [read_notebook(path) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]

    assert larger == set()
    assert [
        area.name for area in areas if not values.keys() & {p.name for p in area.parameters}
    ] == []


def test_params_of_test_are_the_defaults() -> None:
    """`params/test.yaml` says what the notebooks say by themselves, apart from the target."""
    given = {one.name: one.value for one in read_file(PARAMS / "test.yaml", Letter.FILE, "test")}
    defaults = {name: one.default for name, one in of_all_notebooks().items() if name != "target"}

    assert given == defaults


def test_papermill_takes_the_params(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Plain papermill injects `params/test.yaml` as it is, and names what other notebooks have."""
    source = write_with_parameters(tmp_path / "area.ipynb", AREA_4)
    values = papermill.iorw.read_yaml_file(str(PARAMS / "test.yaml"))

    prepared = papermill.execute_notebook(
        source, tmp_path / "out.ipynb", values, prepare_only=True, progress_bar=False
    )

    injected = next(cell for cell in prepared.cells if "injected-parameters" in cell.metadata.tags)
    given, faults = read_parameters(ast.parse(injected.source))
    assert faults == ()
    assert {one.name: one.default for one in given} == values
    own = {one.name for one in read_parameters(ast.parse(AREA_4))[0]}
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"Passed unknown parameter: {name}" for name in values if name not in own]
