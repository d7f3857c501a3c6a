"""What a notebook's source says of it, and the notebooks that are refused."""

import json
import os
from pathlib import Path

import pytest

from labkit.errors import NotebookError
from labkit.notebook import DeclaredCheck, NotebookSource, read_notebook
from tests.notebook_files import CHECK, code, markdown, write

BUSINESS_VALUE = """\
# Database transactions

- **Segment:** all tiers
- **Business goal:** nothing is lost
  and nothing is told twice
- **Value impact:** trust
* **Strategic impact**: it is the ground
"""


def check_cell(name: str, claim: str = "A claim") -> str:
    """The source of a cell with a check."""
    return f'async with lab.check("{name}", "{claim}") as check:\n    pass'


def read(tmp_path: Path, *cells: str) -> NotebookSource:
    """What a notebook of these code cells declares."""
    return read_notebook(write(tmp_path / "area.ipynb", *map(code, cells)))


def refusal(path: Path) -> str:
    """The message with which a notebook is refused."""
    with pytest.raises(NotebookError) as caught:
        read_notebook(path)
    return str(caught.value)


def refusal_of(tmp_path: Path, *cells: str) -> str:
    """The message with which a notebook of these code cells is refused."""
    return refusal(write(tmp_path / "area.ipynb", *map(code, cells)))


def test_read_notebook(tmp_path: Path) -> None:
    """A notebook's title, business value, parameters, checks and last cell are read from it."""
    path = write(
        tmp_path / "database_transactions.ipynb",
        markdown(BUSINESS_VALUE, "business-value"),
        code("users: int = 5", "parameters"),
        markdown("# Another heading"),
        code(check_cell("first_check", "One")),
        code(check_cell("second_check", "Two")),
        code("await lab.close()"),
        code("  \n"),
        code("explore()", "skip-execution"),
    )

    source = read_notebook(path)

    assert (source.name, source.title) == ("database_transactions", "Database transactions")
    assert [parameter.name for parameter in source.parameters] == ["users"]
    assert source.checks == (
        DeclaredCheck("first_check", "One", 3),
        DeclaredCheck("second_check", "Two", 4),
    )


def test_needs_and_isolation(tmp_path: Path) -> None:
    """What a check touches of the target, and whether it claims isolation, are read from it."""
    cells = (
        "data = lab.data\nasync def act(): await data.create_user('u')",
        'async with lab.check("one", "One", isolation=True) as check:\n    await act()',
        'async with lab.check("two", "Two", isolation=False) as check:\n    lab.cache.read("u")',
        'async with lab.check("three", "Three") as check:\n    pass',
    )
    told = [(one.needs, one.isolation) for one in read(tmp_path, *cells).checks]
    assert told == [(("data.create_user",), True), (("cache.read",), False), ((), False)]


def test_isolation_must_be_literal(tmp_path: Path) -> None:
    """Whether a check may be skipped is known before anything runs."""
    cell = 'async with lab.check("one", "One", isolation=strict) as check:\n    pass'
    assert "isolation must be known before anything runs" in refusal_of(tmp_path, cell)


def test_business_value(tmp_path: Path) -> None:
    """The four lines of the business value are parsed, and its text is kept."""
    path = write(tmp_path / "a.ipynb", markdown(BUSINESS_VALUE, "business-value"), code(CHECK))

    value = read_notebook(path).business_value

    assert value is not None
    assert value.text == BUSINESS_VALUE
    assert value.segment == "all tiers"
    assert value.business_goal == "nothing is lost and nothing is told twice"
    assert (value.value_impact, value.strategic_impact) == ("trust", "it is the ground")


def test_business_value_in_prose(tmp_path: Path) -> None:
    """A business value without the four lines is kept as its text alone."""
    path = write(tmp_path / "a.ipynb", markdown("It matters.", "business-value"), code(CHECK))

    value = read_notebook(path).business_value

    assert value is not None
    assert (value.text, value.segment) == ("It matters.", "")


def test_bare_notebook(tmp_path: Path) -> None:
    """A notebook with nothing but a check has its file's name as title and no parameters."""
    source = read(tmp_path, CHECK)

    assert (source.title, source.business_value) == ("area", None)
    assert source.parameters == ()


def test_heading_in_a_code_block(tmp_path: Path) -> None:
    """A comment in a fenced block is no title."""
    path = write(tmp_path / "a.ipynb", markdown("```sh\n# no\n```\n# Yes #"), code(CHECK))

    assert read_notebook(path).title == "Yes"


def test_magics_and_top_level_await(tmp_path: Path) -> None:
    """Cells may hold what IPython allows: magics, commands, help, awaits and whole-cell magics."""
    source = read(
        tmp_path,
        "%matplotlib inline\nfiles = !ls\nlab?\nvalue = await lab.open()",
        "%%bash\necho 'not python'",
        'pattern = "\\d"',
        CHECK,
    )

    assert [check.cell for check in source.checks] == [3]


def test_check_among_other_contexts(tmp_path: Path) -> None:
    """Checks are found in one `async with` with others, under other receivers, and nested."""
    source = read(
        tmp_path,
        'async with pool() as p, lab.check("one", "1") as a, bench.check("two", "2"):\n    pass',
        'if True:\n    async with lab.check("three", "3" " and more", deadline_s=5):\n        pass',
    )

    assert [(check.name, check.claim) for check in source.checks] == [
        ("one", "1"),
        ("two", "2"),
        ("three", "3 and more"),
    ]


def test_other_calls_of_check(tmp_path: Path) -> None:
    """A method `check` of something else, outside of `async with`, is no check."""
    assert len(read(tmp_path, "form.check(1)", CHECK).checks) == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('async with lab.check(name, "c"):\n    pass', "must be literal texts"),
        ('async with lab.check(f"a", "c"):\n    pass', "must be literal texts"),
        ('async with lab.check("a"):\n    pass', "must be literal texts"),
        ('async with lab.check("a", 5):\n    pass', "must be literal texts"),
        ('async with lab.check(name="a", claim="c"):\n    pass', "must be literal texts"),
        ('with lab.check("a", "c"):\n    pass', "outside of 'async with'"),
        ('check = lab.check("a", "c")', "outside of 'async with'"),
        (check_cell("Not-a-name"), "'Not-a-name' cannot name a check"),
        (check_cell(""), "'' cannot name a check"),
        (check_cell("a" * 101), "cannot name a check"),
        (check_cell("a", "  "), "a claims '  '"),
        (check_cell("a", "x\\ny"), "in one line"),
        (check_cell("a", "\\ud800"), "in one line"),
        ("x = (\n", "not Python"),
        ("x = '\0'", "null bytes"),
        ("x = " + "-" * 20_000 + "1", "cannot be parsed"),
    ],
)
def test_refused_cell(tmp_path: Path, source: str, told: str) -> None:
    """A check that cannot be known from the source, or a cell that cannot be parsed, is refused."""
    text = refusal_of(tmp_path, "import labkit", source)

    assert text.startswith(f"{tmp_path / 'area.ipynb'}: cell 1")
    assert told in text


def test_place_of_a_fault(tmp_path: Path) -> None:
    """A fault's line is counted in the cell as it is written, blank lines included."""
    text = refusal_of(tmp_path, "\n\n%time 1\nwith lab.check(name, 'c'):\n    pass")

    assert "cell 0, line 4:" in text


def test_same_name_twice(tmp_path: Path) -> None:
    """A check's name that another has is refused, with the place of both."""
    text = refusal_of(tmp_path, check_cell("twin"), check_cell("twin"))

    assert "cell 1, line 1: cell 0 has a check twin too" in text


def test_no_check(tmp_path: Path) -> None:
    """A notebook without any check is refused, for nothing could be said of it."""
    assert "declares no check" in refusal_of(tmp_path, "x = 1")


def test_nothing_to_execute(tmp_path: Path) -> None:
    """A notebook whose only check is never executed is refused."""
    path = write(tmp_path / "a.ipynb", code(CHECK, "skip-execution"))

    assert "declares no check" in refusal(path)


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Everything that is wrong with a notebook is told in one message."""
    path = write(
        tmp_path / "area.ipynb",
        code("users: int = 'x'\nlab = 1", "parameters"),
        code("def"),
        code("with lab.check('a', 'b'):\n    pass"),
    )

    text = refusal(path)

    assert text.startswith(f"{path} has 4 faults:\n- ")
    assert [line[:16] for line in text.splitlines()[1:]] == [
        "- cell 1, line 1",
        "- cell 0, line 1",
        "- cell 0, line 2",
        "- cell 2, line 1",
    ]


def test_two_parameters_cells(tmp_path: Path) -> None:
    """Two cells tagged `parameters` are refused, since papermill would only see the first."""
    path = write(
        tmp_path / "a.ipynb", code("a = 1", "parameters"), code("b = 1", "parameters"), code(CHECK)
    )

    assert "cells 0 and 1 are all tagged 'parameters'" in refusal(path)


def test_parameters_in_markdown(tmp_path: Path) -> None:
    """The tag `parameters` on a cell that is no code is refused."""
    path = write(tmp_path / "a.ipynb", markdown("a = 1", "parameters"), code(CHECK))

    assert "is no code" in refusal(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"title": "\\ud800"}}', "not JSON"),
        (b"[]", "no list of cells"),
        (b'{"nbformat": 4, "cells": {}}', "no list of cells"),
        (b'{"nbformat": 4}', "declares no check"),
        (b'{"nbformat": 4, "cells": [7]}', "cell 0 has no type or source"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "cell 0 has no type or source"),
        (b'{"nbformat": 3, "worksheets": []}', "format 3, not 4"),
        (b'{"cells": []}', "format None, not 4"),
    ],
)
def test_no_notebook(tmp_path: Path, content: bytes, told: str) -> None:
    """A file that is no notebook of format 4 is refused in one sentence."""
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)

    text = refusal(path)

    assert told in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "metadata",
    [{"kernelspec": {"language": "R"}}, {"language_info": {"name": "julia"}}],
)
def test_other_language(tmp_path: Path, metadata: dict[str, object]) -> None:
    """A notebook for another language than Python is refused."""
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "metadata": metadata, "cells": []}))

    assert "only Python can be run" in refusal(path)


def test_odd_metadata(tmp_path: Path) -> None:
    """Metadata of odd shapes and sources as lists of lines are read for what they are."""
    cell = {
        "cell_type": "code",
        "metadata": {"tags": [1, "x"]},
        "source": CHECK.splitlines(keepends=True),
    }
    document = {"nbformat": 4, "metadata": {"kernelspec": 5}, "cells": [cell]}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(document))

    assert read_notebook(path).checks == (DeclaredCheck("it_holds", "What is claimed", 0),)


def test_missing_file(tmp_path: Path) -> None:
    """A path at which nothing is, or a path too long to be one, is refused."""
    assert "does not exist as a file" in refusal(tmp_path / "a.ipynb")
    assert "cannot be read" in refusal(tmp_path / ("a" * 300))


def test_folder(tmp_path: Path) -> None:
    """A folder is refused as one."""
    assert "is a folder" in refusal(tmp_path)


def test_pipe(tmp_path: Path) -> None:
    """A named pipe, which nobody may ever write to, is refused and not waited for."""
    os.mkfifo(tmp_path / "a.ipynb")

    assert "does not exist as a file" in refusal(tmp_path / "a.ipynb")


def test_huge_file(tmp_path: Path) -> None:
    """A file of more than 50 MB is refused before it is parsed."""
    path = tmp_path / "a.ipynb"
    with path.open("wb") as file:
        file.truncate(50_000_001)

    assert "larger than 50,000,000 bytes" in refusal(path)
