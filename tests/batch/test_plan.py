"""What a run is going to do, and everything for which it is refused before it starts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.batch.plan import Job, Mode, Plan, make_plan
from labkit.errors import NotebookError, ParameterError, UsageError
from labkit.ids import RunID
from labkit.journal import PlannedCheck, PlannedNotebook
from labkit.project import Project
from tests.notebook_files import CHECK, code, markdown, write, write_with_parameters

FIRST = "environment: str = 'test'\nusers: int = 5\nratio: float = 0.5"
SECOND = "environment: str = 'test'\ntitle: str = ''\nusers: int = 1"
RUN = RunID.new()

Pairs = Sequence[tuple[str, str]]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two areas and the parameters of three environments."""
    made = Project(tmp_path / "project")
    made.notebooks.mkdir(parents=True)
    made.params.mkdir()
    write_with_parameters(made.notebooks / "second.ipynb", SECOND)
    write_with_parameters(made.notebooks / "first.ipynb", FIRST)
    for name, users in (("test", 2), ("staging", 20), ("production", 200)):
        (made.params / f"{name}.yaml").write_text(f"environment: {name}\nusers: {users}\n")
    return made


def plan(
    project: Project | None,
    *selections: str,
    environment: str = "test",
    mode: Mode = Mode.FULL,
    files: Sequence[Path] = (),
    yamls: Sequence[str] = (),
    texts: Pairs = (),
    raws: Pairs = (),
) -> Plan:
    """The plan with a deadline of a minute."""
    return make_plan(
        project,
        selections,
        run=RUN,
        environment=environment,
        deadline_s=60.0,
        mode=mode,
        files=files,
        yamls=yamls,
        texts=texts,
        raws=raws,
    )


def only(made: Plan) -> Job:
    """The one job of a plan."""
    (job,) = made.jobs
    return job


def test_all_areas(project: Project) -> None:
    """Without a selection all notebooks of the project run, in alphabetical order."""
    made = plan(project)

    assert (made.run, made.environment) == (RUN, "test")
    assert [job.name for job in made.jobs] == ["first", "second"]
    assert [job.source for job in made.jobs] == list(project.project_notebooks())
    assert {job.deadline_s for job in made.jobs} == {60.0}


def test_selected_areas(project: Project) -> None:
    """Areas run in the order in which they were named, and once, also when named by path too."""
    path = str(project.notebooks / "second.ipynb")

    assert [job.name for job in plan(project, "second", "first", path).jobs] == ["second", "first"]


def test_values_of_the_environment(project: Project) -> None:
    """The environment's file is given to those who declare its names, in their order."""
    first, second = plan(project, environment="staging").jobs

    assert dict(first.parameters) == {"environment": "staging", "users": 20}
    assert list(second.parameters) == ["environment", "users"]


def test_precedence(project: Project, tmp_path: Path) -> None:
    """Later ways win: the environment's file, then -f in order, -y, -p and -r."""
    low, high = tmp_path / "low.yaml", tmp_path / "high.yaml"
    low.write_text("users: 30\nratio: 0.3")
    high.write_text("users: 40")

    def users(made: Plan) -> object:
        return only(made).parameters["users"]

    assert users(plan(project, "first")) == 2
    assert users(plan(project, "first", files=[low])) == 30
    assert users(plan(project, "first", files=[low, high])) == 40
    assert users(plan(project, "first", files=[low], yamls=["users: 50", "users: 51"])) == 51
    given = [("users", "60"), ("users", "61")]
    assert users(plan(project, "first", yamls=["users: 50"], texts=given)) == 61
    title = plan(project, "second", texts=[("title", "a")], raws=[("title", "7")])
    assert only(title).parameters["title"] == "7"


def test_fast_feedback_has_small_sizes(project: Project, tmp_path: Path) -> None:
    """`params/fast.yaml` comes over the environment's file, and what the user gives over both."""
    fast = Mode.FAST_FEEDBACK
    with pytest.raises(ParameterError, match=r"no file of parameters params/fast.yaml"):
        plan(project, "first", mode=fast)
    (project.params / "fast.yaml").write_text("users: 1")
    assert dict(only(plan(project, "first", mode=fast)).parameters) == {
        "environment": "test",
        "users": 1,
    }
    given = plan(project, "first", mode=fast, texts=[("users", "7")])
    assert only(given).parameters["users"] == 7
    assert only(plan(project, "first")).parameters["users"] == 2
    outside = write_with_parameters(tmp_path / "outside.ipynb", FIRST)
    assert "users" not in only(plan(project, str(outside), mode=fast)).parameters


def test_planned(project: Project) -> None:
    """A job as the journal has it: its name, its source as written, its title and its checks."""
    write(project.notebooks / "third.ipynb", markdown("# The third"), code(CHECK))

    job = only(plan(project, "third"))
    assert job.planned() == PlannedNotebook(
        name="third",
        source="notebooks/third.ipynb",
        title="The third",
        checks=(PlannedCheck("it_holds", "What is claimed"),),
        digest=job.digest,
    )
    selected = replace(job, deselected=frozenset({"it_holds"})).planned()
    assert selected.checks == (PlannedCheck("it_holds", "What is claimed", is_selected=False),)


def test_a_job_is_told_apart_by_code_parameters_and_checks(project: Project) -> None:
    """Prose and outputs may change; anything that results depend on makes another digest."""
    path = project.notebooks / "third.ipynb"
    write(path, markdown("# The third"), code("x: int = 1", "parameters"), code(CHECK))
    job = only(plan(project, "third"))
    write(path, markdown("# Renamed"), code("x: int = 1", "parameters"), code(CHECK))
    assert only(plan(project, "third")).digest == job.digest
    others = {
        only(plan(project, "third", texts=[("x", "2")])).digest,
        replace(job, deselected=frozenset({"it_holds"})).digest,
    }
    write(path, markdown("# The third"), code("x: int = 1", "parameters"), code(CHECK + "\npass"))
    others.add(only(plan(project, "third")).digest)
    write(path, code("x: int = 1", "parameters"), code("y = 1", "skip-execution"), code(CHECK))
    others.add(only(plan(project, "third")).digest)
    assert len(others | {job.digest}) == 5


def test_notebook_without_a_project(tmp_path: Path) -> None:
    """Any notebook runs by its path; it gets the environment's name if it declares it."""
    bare = write_with_parameters(tmp_path / "bare.ipynb", "x: int = 1")
    told = write_with_parameters(tmp_path / "told.ipynb", "environment: str = 'test'")

    first, second = plan(None, str(bare), str(told), environment="development").jobs

    assert dict(first.parameters) == {}
    assert dict(second.parameters) == {"environment": "development"}
    assert first.written == str(bare)


def test_notebook_outside_of_the_project(project: Project, tmp_path: Path) -> None:
    """The project's parameters are not for a notebook elsewhere; what the user gives is."""
    path = write_with_parameters(tmp_path / "else.ipynb", "users: str = ''\nratio: float = 0.1")

    alone = plan(project, str(path), environment="development")
    elsewhere, first = plan(project, str(path), "first", yamls=["ratio: 1"]).jobs

    assert dict(only(alone).parameters) == {}
    assert dict(elsewhere.parameters) == {"ratio": 1.0}
    assert dict(first.parameters) == {"environment": "test", "users": 2, "ratio": 1.0}


def test_same_stem(project: Project, tmp_path: Path) -> None:
    """Notebooks whose names would meet in the run's folder are told apart by a number."""
    names = ["first.ipynb", "FIRST.ipynb", "index.ipynb", "..ä b$.ipynb"]
    paths = []
    for number, name in enumerate(names):
        (tmp_path / str(number)).mkdir()
        paths.append(str(write_with_parameters(tmp_path / str(number) / name, "x = 1")))

    made = plan(project, "first", *paths)

    assert [job.name for job in made.jobs] == ["first", "first-2", "FIRST-3", "index-2", "__b_"]


def test_path_without_its_suffix(tmp_path: Path) -> None:
    """What has a slash is a path, whatever its suffix."""
    path = write_with_parameters(tmp_path / "notebook", "x = 1")

    assert only(plan(None, str(path))).name == "notebook"


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ("frist", "'frist' is neither an area nor a notebook's path; did you mean first?"),
        ("elephants", "areas are first, second"),
        ("", "'' is neither an area"),
        ("missing.ipynb", "missing.ipynb does not exist as a file"),
        ("/", "/ is a folder"),
        ("a" * 300 + ".ipynb", "cannot be read"),
    ],
)
def test_unknown_selection(project: Project, selection: str, told: str) -> None:
    """A selection that names no notebook is refused, with what could be meant."""
    with pytest.raises(UsageError) as caught:
        plan(project, selection)

    assert told in str(caught.value)


def test_circle_of_links(tmp_path: Path) -> None:
    """A path that leads around in a circle is refused like one that leads nowhere."""
    (tmp_path / "a.ipynb").symlink_to(tmp_path / "a.ipynb")

    with pytest.raises(NotebookError, match=r"does not exist as a file"):
        plan(None, str(tmp_path / "a.ipynb"))


def test_nothing_to_run(tmp_path: Path) -> None:
    """Where there is no notebook at all, the error says how to get some."""
    with pytest.raises(
        UsageError, match=r"this is no project; name a notebook, .* labkit init DIR"
    ):
        plan(None)
    with pytest.raises(UsageError, match=r"holds no notebook"):
        plan(Project(tmp_path))


def test_a_notebook_that_would_work_on_another_platform_is_refused(project: Project) -> None:
    """Green on the reference platform, it would be taken for a word about yours."""
    write(project.notebooks / "deaf.ipynb", code(CHECK))
    write_with_parameters(project.notebooks / "hears.ipynb", f"{FIRST}\ntarget: str = ''")
    ours = [("target", "ours:Platform")]
    told = "^notebooks/deaf.ipynb would not hear of target 'ours:Platform': declare"
    for names in (["deaf"], ["hears", "deaf"]):
        with pytest.raises(UsageError, match=told):
            plan(project, *names, texts=ours)
    assert plan(project, "hears", texts=ours).jobs
    assert plan(project, "hears", "deaf").jobs


def test_unknown_parameter(project: Project) -> None:
    """A name given by an option must be declared by a selected notebook."""
    with pytest.raises(ParameterError, match=r"'title' from -p .* could be for \(first\);"):
        plan(project, "first", texts=[("title", "x")])
    with pytest.raises(ParameterError, match=r"'user' from -r .* did you mean users\?"):
        plan(project, raws=[("user", "x")])


def test_name_of_another_notebook_in_a_file(project: Project, tmp_path: Path) -> None:
    """A name in a file may be another notebook's of the project, but must be some notebook's."""
    overlay = tmp_path / "fast.yaml"
    overlay.write_text("title: quick")
    assert only(plan(project, "first", files=[overlay])).parameters["users"] == 2

    overlay.write_text("titel: quick")
    with pytest.raises(
        ParameterError, match=r"'titel' from .*fast.yaml .*\(first, .* did you mean title\?"
    ):
        plan(project, "first", files=[overlay])


def test_broken_neighbour(project: Project) -> None:
    """A broken notebook stops no other, unless a name in a file may be one of its."""
    broken = write(project.notebooks / "broken.ipynb", code("def"))
    assert only(plan(project, "first")).name == "first"

    (project.params / "test.yaml").write_text("users: 2\nbeds: 3")
    with pytest.raises(NotebookError, match=f"{broken}: cell 0"):
        plan(project, "first")


def test_name_beside_a_broken_notebook(project: Project) -> None:
    """Where a selected notebook cannot be read, no name is called unknown for it."""
    write(project.notebooks / "broken.ipynb", code("beds: int = 5", "parameters"))

    with pytest.raises(NotebookError, match=r"declares no check"):
        plan(project, "broken", texts=[("beds", "6")])


def test_wrong_type(project: Project) -> None:
    """A value of another type than declared is refused, also where a later one wins."""
    with pytest.raises(ParameterError, match=r"users must be int, .* not 'two' from -y"):
        plan(project, "first", yamls=["users: two"], texts=[("users", "2")])


def test_types_that_differ(project: Project) -> None:
    """A value that is right for one notebook and wrong for another is refused for the latter."""
    write_with_parameters(project.notebooks / "third.ipynb", "users: list[int] = []")

    with pytest.raises(ParameterError, match=r"list\[int\], as notebooks/third.ipynb declares it"):
        plan(project)


def test_text_by_each_declaration(project: Project) -> None:
    """One text given by -p is a number for one notebook and a text for another."""
    write_with_parameters(project.notebooks / "third.ipynb", "title: int = 1")

    jobs = plan(project, "second", "third", texts=[("title", "7")]).jobs

    assert [job.parameters["title"] for job in jobs] == ["7", 7]


@pytest.mark.parametrize("way", ["option", "text", "yaml", "file"])
def test_production(project: Project, way: str) -> None:
    """The environment production is refused in every way, with the reason and what to do."""
    with pytest.raises(UsageError, match=r"production from .* is refused, .* labkit doctor"):
        plan(
            project,
            environment="production" if way == "option" else "test",
            texts=[("environment", "production")] if way == "text" else [],
            yamls=["environment: production"] if way == "yaml" else [],
            files=[project.params / "production.yaml"] if way == "file" else [],
        )


def test_other_environment(project: Project) -> None:
    """It is never looked for as a file; only what a run takes is offered instead."""
    told = r"^'\.\./x' from --environment is no environment; take test, development, staging$"
    with pytest.raises(UsageError, match=told):
        plan(project, environment="../x")


def test_environment_without_its_file(project: Project) -> None:
    """In a project, an environment needs its file."""
    with pytest.raises(ParameterError, match=r"no file of parameters params/development.yaml"):
        plan(project, environment="development")


def test_environment_by_parameter(project: Project) -> None:
    """An environment that a parameter names is the plan's, so that no report says another."""
    made = plan(project, "first", texts=[("environment", "staging")])

    assert (made.environment, made.jobs[0].parameters["environment"]) == ("staging", "staging")


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("inf"), float("nan")])
def test_deadline(project: Project, deadline_s: float) -> None:
    """A deadline that cannot be kept is refused."""
    with pytest.raises(UsageError, match=r"cannot be kept"):
        make_plan(project, [], run=RUN, environment="test", deadline_s=deadline_s)


def test_all_faults_at_once(project: Project, tmp_path: Path) -> None:
    """Selections, notebooks, files, names and values are all judged before anything starts."""
    write(tmp_path / "broken.ipynb", code("def"))

    with pytest.raises(UsageError) as caught:
        plan(
            project,
            "first",
            "frist",
            str(tmp_path / "broken.ipynb"),
            files=[tmp_path / "missing.yaml"],
            yamls=["- a"],
            texts=[("users", "two"), ("environment", "production")],
        )

    text = str(caught.value)
    assert text.startswith("6 things are wrong, and nothing was started:\n- 'frist'")
    for told in ("broken.ipynb", "missing.yaml", "-y does not", "users must be", "production"):
        assert told in text


def test_faults_of_one_kind(project: Project) -> None:
    """Several faults of one kind are raised as that kind, each told once."""
    with pytest.raises(ParameterError, match=r"^3 things are wrong"):
        plan(project, texts=[("user", "1"), ("users", "x")], raws=[])
