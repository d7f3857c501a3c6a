"""What a run is going to do, decided and checked before anything starts.

Selections become notebooks, given values become the parameters of those that declare them, and all
that is wrong with either is told at once.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Final

from labkit.errors import NotebookError, ParameterError, UsageError
from labkit.ids import RunID
from labkit.journal import PlannedCheck, PlannedNotebook
from labkit.json_values import JsonValue
from labkit.notebook import DeclaredCheck, NotebookSource, read_notebook
from labkit.parameters import Given, Letter, read_file, read_yaml_text
from labkit.project import Project

PRODUCTION: Final = "production"
"""The environment that a run refuses."""

ENVIRONMENTS: Final = ("test", "development", "staging")
"""What can be chosen as a run's environment."""


class Mode(enum.StrEnum):
    """How thorough a run is."""

    FULL = "full"
    FAST_FEEDBACK = "fast_feedback"
    """Small sizes, what was red before begun first, and an end at the first red notebook."""

    @property
    def overlays(self) -> tuple[str, ...]:
        """The files of `params/` that come after that of the environment."""
        return ("fast",) if self is Mode.FAST_FEEDBACK else ()


@dataclass(frozen=True)
class Job:
    """One notebook of a run with what is injected into it."""

    name: str
    """Unique in the run, and fit to be a file's name."""
    source: Path
    """The notebook's absolute path."""
    written: str
    """The notebook as the user would write it."""
    notebook: NotebookSource
    parameters: Mapping[str, JsonValue]
    """What was given, in the order of the declarations; the rest keeps its default."""
    deadline_s: float
    """For the whole notebook."""
    deselected: frozenset[str] = frozenset()
    """The checks that are not executed."""
    repeats: str = ""
    """The name of the notebook, where it is executed several times; else empty."""

    @property
    def title(self) -> str:
        """The notebook's title."""
        return self.notebook.title

    @property
    def checks(self) -> tuple[DeclaredCheck, ...]:
        """The checks that the notebook declares, in order."""
        return self.notebook.checks

    @property
    def target(self) -> str | None:
        """The target that the notebook will open; None when it has no such parameter."""
        defaults = {parameter.name: parameter.default for parameter in self.notebook.parameters}
        target = {**defaults, **self.parameters}.get("target")
        return target if isinstance(target, str) else None

    @property
    def digest(self) -> str:
        """Tells its code, parameters and selected checks apart from all others."""
        parts = [self.notebook.digest, dict(self.parameters), sorted(self.deselected)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def is_deselected(self) -> bool:
        """Whether none of its checks is executed, and thereby nothing of it."""
        return len(self.deselected) == len(self.checks)

    def planned(self) -> PlannedNotebook:
        """The job as the journal has it."""
        checks = tuple(
            PlannedCheck(check.name, check.claim, is_selected=check.name not in self.deselected)
            for check in self.checks
        )
        told = (self.name, self.written, self.title, checks, self.repeats, self.digest)
        return PlannedNotebook(*told)


@dataclass(frozen=True)
class Plan:
    """A run that can start."""

    run: RunID
    environment: str
    jobs: tuple[Job, ...]
    """In the order of the report."""
    turns: tuple[str, ...] = ()
    """The jobs' names in the order in which they are begun; empty for the order of `jobs`."""
    remaining: frozenset[str] | None = None
    """The jobs that an earlier run of this plan has no result of; None for a new run."""
    options: str = ""
    """What was asked for beside notebooks and parameters, as on the command line."""

    def in_turn(self) -> list[Job]:
        """The jobs in the order in which they are begun."""
        turn = {name: number for number, name in enumerate(self.turns)}
        return sorted(self.jobs, key=lambda job: turn.get(job.name, len(turn)))


def make_plan(
    project: Project | None,
    selections: Sequence[str],
    *,
    run: RunID,
    environment: str,
    deadline_s: float,
    mode: Mode = Mode.FULL,
    files: Sequence[Path] = (),
    yamls: Sequence[str] = (),
    texts: Sequence[tuple[str, str]] = (),
    raws: Sequence[tuple[str, str]] = (),
) -> Plan:
    """The plan for the selected notebooks, each an area's name or a path; none selects all areas.

    In the project, `params/<environment>.yaml` comes first, then `params/fast.yaml` where the mode
    is fast feedback, then each of `files` (`-f`), `yamls` (`-y`), `texts` (`-p`) and `raws` (`-r`);
    later ones win. A name in a file must be declared by a
    notebook of the project, any other by one that is selected. `deadline_s` is for each notebook.

    Raises `NotebookError` or `ParameterError`, or `UsageError` where several kinds of faults meet:
    unknown selections and names, notebooks that cannot be run, values that do not fit, production.
    """
    faults: list[UsageError] = []
    chosen = _read(_select(project, selections, faults), faults)
    all_were_read = not faults
    given = (
        Given("environment", environment, Letter.OPTION, Letter.OPTION.value),
        *_read_project_files(project, chosen, (environment, *mode.overlays), faults),
        *_read_given(files, yamls, texts, raws, faults),
    )
    faults += _environment_faults(given)
    if all_were_read:  # only then is a name that nobody declares unknown
        deaf = tuple(_deaf(given, chosen))
        faults += deaf or _unknown_names(given, chosen, project)
    if not 0 < deadline_s < math.inf:
        faults.append(UsageError(f"a deadline of {deadline_s} s cannot be kept; give more than 0"))
    names = unique_names(one.notebook.name for one in chosen)
    jobs = tuple(
        Job(
            name=name,
            source=one.notebook.path.absolute(),
            written=one.written,
            notebook=one.notebook,
            parameters=_bind(one, given, faults),
            deadline_s=deadline_s,
        )
        for name, one in zip(names, chosen, strict=True)
    )
    _refuse(faults)
    return Plan(run, str(_environments(given)[-1]), jobs)


@dataclass(frozen=True)
class _Selection:
    path: Path
    written: str
    in_project: bool


@dataclass(frozen=True)
class _Chosen:
    notebook: NotebookSource
    written: str
    in_project: bool


def _select(
    project: Project | None, selections: Sequence[str], faults: list[UsageError]
) -> Sequence[_Selection]:
    """The selected notebooks, each once, in the order in which they were named."""
    areas = {one.path.stem: one for one in _project_notebooks(project)}
    if not selections and not areas:
        place = f"{project.notebooks} holds no notebook" if project else "this is no project"
        faults.append(
            UsageError(f"{place}; name a notebook, or lay a project out with labkit init DIR")
        )
    selected: dict[Path, _Selection] = {}
    for selection in selections or areas:
        if selection in areas:
            one = areas[selection]
        elif "/" in selection or selection.endswith(".ipynb"):
            path = Path(selection)
            one = _Selection(path, selection, _lies_in(path, project))
        else:
            faults.append(_unknown_area(selection, areas))
            continue
        selected.setdefault(_resolved(one.path), one)
    return tuple(selected.values())


def _project_notebooks(project: Project | None) -> Sequence[_Selection]:
    return [
        _Selection(path, path.relative_to(project.root).as_posix(), in_project=True)
        for project in ([project] if project else [])
        for path in project.project_notebooks()
    ]


def _unknown_area(selection: str, areas: Collection[str]) -> UsageError:
    near = get_close_matches(selection, areas, n=1)
    advice = f"did you mean {near[0]}?" if near else f"areas are {', '.join(areas) or 'none here'}"
    return UsageError(f"{selection!r:.120} is neither an area nor a notebook's path; {advice}")


def _lies_in(path: Path, project: Project | None) -> bool:
    return project is not None and _resolved(path).is_relative_to(_resolved(project.root))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a circle of links; reading it will tell
        return path.absolute()


def _read(selections: Iterable[_Selection], faults: list[UsageError]) -> Sequence[_Chosen]:
    chosen = []
    for one in selections:
        try:
            chosen.append(_Chosen(read_notebook(one.path), one.written, one.in_project))
        except NotebookError as error:
            faults.append(error)
    return chosen


def _read_project_files(
    project: Project | None,
    chosen: Sequence[_Chosen],
    names: Sequence[str],
    faults: list[UsageError],
) -> Iterator[Given]:
    """What these files of `params/` give; the first name is the environment's.

    Nothing where that is none, or no notebook of the project is run.
    """
    if project is None or names[0] not in ENVIRONMENTS or not any(one.in_project for one in chosen):
        return
    for file in (f"{name}.yaml" for name in names):
        try:
            yield from read_file(project.params / file, Letter.ENVIRONMENT, f"params/{file}")
        except ParameterError as error:
            faults.append(error)


def _read_given(
    files: Iterable[Path],
    yamls: Iterable[str],
    texts: Iterable[tuple[str, str]],
    raws: Iterable[tuple[str, str]],
    faults: list[UsageError],
) -> Iterator[Given]:
    """What the user gave, in the order of papermill's precedence: the last one wins."""
    readings: list[Callable[[], Sequence[Given]]] = [
        *(partial(read_file, path, Letter.FILE, str(path)) for path in files),
        *(partial(read_yaml_text, text, Letter.YAML, "-y") for text in yamls),
    ]
    for read in readings:
        try:
            yield from read()
        except ParameterError as error:
            faults.append(error)
    yield from (Given(name, value, Letter.TEXT, "-p") for name, value in texts)
    yield from (Given(name, value, Letter.RAW, "-r") for name, value in raws)


def _environments(given: Iterable[Given]) -> Sequence[JsonValue]:
    return [one.value for one in given if one.name == "environment"]


def _environment_faults(given: Iterable[Given]) -> Iterator[UsageError]:
    for one in given:
        if one.name != "environment":
            continue
        if one.value == PRODUCTION:
            yield UsageError(
                f"environment: production from {one.origin} is refused, since a run writes and"
                " breaks things; choose test, development or staging, or look with labkit doctor"
            )
        elif one.value not in ENVIRONMENTS:
            known = ", ".join(ENVIRONMENTS)
            yield UsageError(f"{one.value!r:.80} from {one.origin} is no environment; take {known}")


def _unknown_names(
    given: Sequence[Given], chosen: Sequence[_Chosen], project: Project | None
) -> Sequence[UsageError]:
    """A name in a file must be declared in the project or the selection, any other in the latter.

    Where a notebook of the project cannot be read, a file's name may be one of its: then the
    notebook's faults are told instead.
    """
    selected = _declared(chosen)
    faults: list[UsageError] = []
    others = _read(_project_notebooks(project), faults)
    anywhere = selected | _declared(others)
    here, there = _names(chosen), _names([*chosen, *others])
    in_files = [one for one in given if one.letter in {Letter.ENVIRONMENT, Letter.FILE}]
    in_options = [one for one in given if one.letter in {Letter.YAML, Letter.TEXT, Letter.RAW}]
    unknown = [one.unknown_among(anywhere, there) for one in in_files if one.name not in anywhere]
    return [
        *(faults if faults and unknown else unknown),
        *(one.unknown_among(selected, here) for one in in_options if one.name not in selected),
    ]


def _deaf(given: Iterable[Given], chosen: Iterable[_Chosen]) -> Iterator[UsageError]:
    """Notebooks with checks of another platform than the one that was asked for."""
    targets = [one.value for one in given if one.name == "target"]
    checking = (one for one in chosen if one.notebook.checks)
    deaf = [one.written for one in checking if "target" not in _declared([one])]
    if targets and deaf:
        yield UsageError(
            f"{', '.join(deaf)} would not hear of target {targets[-1]!r:.80}: declare `target: str`"
            " in a cell tagged `parameters` and give it to Lab.open, or name other notebooks"
        )


def _declared(chosen: Iterable[_Chosen]) -> frozenset[str]:
    return frozenset(parameter.name for one in chosen for parameter in one.notebook.parameters)


def _names(chosen: Iterable[_Chosen]) -> Sequence[str]:
    return tuple(dict.fromkeys(one.notebook.name for one in chosen))


def _bind(
    chosen: _Chosen, given: Iterable[Given], faults: list[UsageError]
) -> Mapping[str, JsonValue]:
    """The given values that this notebook declares; each must fit, also one that is overridden."""
    values: dict[str, JsonValue] = {}
    given = [one for one in given if chosen.in_project or one.letter is not Letter.ENVIRONMENT]
    for parameter in chosen.notebook.parameters:
        for one in given:
            if one.name == parameter.name:
                try:
                    values[one.name] = one.bind(parameter, chosen.written)
                except ParameterError as error:
                    faults.append(error)
    return values


def unique_names(stems: Iterable[str]) -> Iterator[str]:
    """The stems as names of files, told apart by a number also where letters' case is not."""
    taken = {"index"}  # the run's own page
    for stem in stems:
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", stem).lstrip(".-")[:100] or "notebook"
        numbered = (f"{base}-{number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain([base], numbered) if name.lower() not in taken)
        taken.add(name.lower())
        yield name


def _refuse(faults: Iterable[UsageError]) -> None:
    """Raise everything that is wrong as one error, of the faults' own kind if they share it."""
    told = {str(fault): fault for fault in faults}
    if len(told) == 1:
        raise next(iter(told.values()))
    if told:
        kinds = {type(fault) for fault in told.values()}
        kind = kinds.pop() if len(kinds) == 1 else UsageError
        lines = [f"- {text}".replace("\n", "\n  ") for text in told]
        raise kind("\n".join([f"{len(told)} things are wrong, and nothing was started:", *lines]))
