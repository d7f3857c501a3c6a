"""The papermill engine `labkit`: executes a notebook and tells how that really ended.

papermill stamps every cell `completed` after a dead kernel or a timeout. Here a cell that did not
come to its end is marked failed, and one that was never reached stays pending; what counts for a
verdict is `Execution.ended` and the records, never those marks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode, ValidationError
from nbformat.v4 import new_output
from papermill.engines import Engine, NotebookExecutionManager

from labkit.batch.environments import kernel_environment
from labkit.batch.execution import Ended, Execution
from labkit.batch.kernel_owner import KernelOwner
from labkit.batch.kernels import KernelPlace
from labkit.batch.stopwatch import Stopwatch
from labkit.environment import IsolatedEnvironment
from labkit.errors import RecordError
from labkit.journal import Ending, Phase
from labkit.output_redaction import redact_content
from labkit.records import MEDIA_TYPE, CheckRecord, CheckStarted, Record, record_from_json
from labkit.redaction import Redactor, secrets_in
from labkit.services.handover import noted_starts

_IMPORT_ERRORS: Final = frozenset({"ImportError", "ModuleNotFoundError"})
_NO_DEADLINE_S: Final = 24 * 3600.0


class LabkitEngine(Engine):  # type: ignore[misc]  # papermill has no types
    """Entry point `labkit` of papermill's engines; also `papermill --engine labkit`."""

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        execution: Execution | None = None,
        **_ours_to_decide: object,
    ) -> NotebookNode:
        """Execute the notebook; papermill calls this.

        Raises `KernelUnavailable` when no kernel starts and nbclient's `DeadKernelError` when it
        dies; an error in a cell is papermill's to raise, from the cell's output.
        """
        manager = _Manager(nb, output_path=output_path, progress_bar=False)
        if execution is not None:
            manager = _QuickManager(nb, output_path, execution.stopwatch)
        manager.notebook_start()
        try:
            with contextlib.ExitStack() as stack:
                agreed = execution or stack.enter_context(_on_its_own())
                KernelDriver(manager, agreed, kernel_name=kernel_name).execute()
        finally:
            manager.notebook_complete()
        executed: NotebookNode = manager.nb
        return executed


@contextlib.contextmanager
def _on_its_own() -> Iterator[Execution]:
    """An execution for plain papermill, which hands none over."""

    class Nobody:
        def heard(self, record: Record) -> None:
            """Nobody listens; the record stands in the notebook."""

        def killed(self, check: CheckStarted) -> None:
            """Nobody listens; the kernel's death is raised."""

    environment = IsolatedEnvironment.of_process().as_mapping()
    redactor = Redactor(secrets_in(environment))
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        place = KernelPlace(Path(folder), kernel_environment(environment, None), Path.cwd())
        yield Execution(place, Nobody(), redactor=redactor)


class _Manager(NotebookExecutionManager):  # type: ignore[misc]  # papermill has no types
    """papermill's book-keeping, except that a cell never reached is not called completed."""

    def catch_up(self) -> None:
        """The kernel works just now; papermill has saved already."""

    def notebook_complete(self, **options: Any) -> None:
        """Write the notebook's last state, with the cells that never ran still pending."""
        pending = [c for c in self.nb.cells if c.metadata.papermill["status"] == self.PENDING]
        super().notebook_complete(**options)
        for cell in pending:
            cell.metadata.papermill["status"] = self.PENDING
        self.save()


class _QuickManager(_Manager):
    """The same for a file of ours, into which a notebook is written at the cost of its text.

    papermill saves twice a cell, and checks, copies and indents the notebook each time. The run
    does so once, when the notebook is finished. Until then what changed is written while the kernel
    works on the next cell, and nobody waits for it.
    """

    def __init__(self, nb: NotebookNode, output_path: str | None, watch: Stopwatch) -> None:
        super().__init__(nb, output_path=output_path, progress_bar=False)
        self._watch = watch
        self._is_behind = False

    def save(self, **_options: object) -> None:
        """Note that the notebook's state has changed."""
        self._is_behind = True

    def catch_up(self) -> None:
        """Write the notebook's state, if it has changed."""
        if self._is_behind:
            text = json.dumps(self.nb, ensure_ascii=False)
            Path(self.output_path).write_text(text, encoding="utf-8")
            self._is_behind = False

    def notebook_complete(self, **options: Any) -> None:
        """Write the notebook's last state, for which all wait."""
        with self._watch.during(Phase.SAVING):
            super().notebook_complete(**options)
            self.catch_up()


class KernelDriver(KernelOwner):
    """Drives one kernel through one notebook.

    It watches what the kernel sends. A check's start record arms a timer beyond the check's own
    deadline; when it expires, the check resists, and the kernel is killed.
    """

    def __init__(self, manager: NotebookExecutionManager, execution: Execution, **options: Any):
        super().__init__(
            manager,
            timeout=None,
            # All that a cell has written is awaited, however much; the notebook's deadline bounds.
            iopub_timeout=int(_NO_DEADLINE_S),
            on_cell_complete=self._use_the_time,
            on_cell_executed=self._look_for_exit,
            **options,
        )
        self._execution = execution
        self._index: int | None = None
        self._records: list[Record] = []
        self._stopped: Ended | None = None
        self._cell_error: CellExecutionError | None = None
        self._asked_to_exit = False
        self._cell_over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._giving_way: asyncio.Task[None] | None = None

    def execute(self, **_options: object) -> NotebookNode:
        """Start a kernel, execute the cells and end the kernel, whatever happens.

        The loop runs in a thread of its own, since whoever calls may have one already.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="labkit-engine") as pool:
            driven = pool.submit(asyncio.run, self._drive())
            try:
                driven.result()
            except KeyboardInterrupt:
                self._execution.stop(Ending.CANCELLED)
                raise
        executed: NotebookNode = self.nb
        return executed

    async def _drive(self) -> None:
        self.reset_execution_trackers()
        loop = asyncio.get_running_loop()
        self._execution.on_stop(lambda ending: _post(loop, self._stop, ending))
        deadline_s = self._execution.deadline_s or _NO_DEADLINE_S
        deadline = loop.call_later(deadline_s, self._stop, Ending.DEADLINE)
        try:
            async with self.kernel_at(self._execution.place, self._execution.stopwatch):
                await self._run_cells()
                self._execution.ended = self._stopped or self._how_it_ended()
        except BaseException as error:
            self._execution.ended = self._stopped or self._how_it_died(error)
            raise
        finally:
            deadline.cancel()

    async def before_its_end(self) -> None:
        """Let the kernel give way first, where it was asked to."""
        if self._giving_way is not None:
            await self._giving_way

    async def _run_cells(self) -> None:
        for index, cell in enumerate(self.nb.cells):
            if self._stopped is not None:
                return
            self._index = index
            self._cell_over.clear()
            self.nb_man.cell_start(cell, index)
            try:
                with self._execution.stopwatch.during(Phase.CELLS):
                    await self.async_execute_cell(cell, index)
            except CellExecutionError as error:
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                self._cell_error = error
                return
            except BaseException as error:
                self.nb_man.cell_exception(cell, cell_index=index, exception=error)
                self._hear_of_lost_starts()
                raise
            finally:
                self._end_of_cell(cell, index)
            if self._asked_to_exit:
                return

    def _use_the_time(self, **_cell: object) -> None:
        """The kernel has just been sent a cell, which is nbclient's meaning of this hook."""
        self.nb_man.catch_up()

    def _look_for_exit(self, execute_reply: dict[str, Any], **_cell: object) -> None:
        """Note that `exit()` was called: the kernel would take a few more cells on its way out."""
        payload = execute_reply["content"].get("payload", [])
        self._asked_to_exit = any(asked.get("source") == "ask_exit" for asked in payload)

    def _end_of_cell(self, cell: NotebookNode, index: int) -> None:
        self._disarm()
        self._cell_over.set()
        if cell.cell_type == "code":
            cell.outputs = [self._cleaned(output) for output in cell.outputs]
        self.nb_man.cell_complete(cell, cell_index=index)

    def _cleaned(self, output: NotebookNode) -> NotebookNode:
        """The output once more as a whole: streams have grown together by now."""
        cleaned = redact_content(output.output_type, output, self._execution.redactor)
        return NotebookNode({**cleaned, "output_type": output.output_type})

    # What the kernel sends ----------------------------------------------------------------------

    def process_message(
        self, message: dict[str, Any], cell: NotebookNode, index: int
    ) -> NotebookNode | None:
        """Take the secrets out of a message, note its record, and let nbclient file it."""
        kind, content = message["msg_type"], message["content"]
        message["content"] = redact_content(kind, content, self._execution.redactor)
        value = message["content"].get("data", {})
        if isinstance(value, Mapping) and MEDIA_TYPE in value:
            self._note(value[MEDIA_TYPE])
        try:
            filed: NotebookNode | None = super().process_message(message, cell, index)
        except ValidationError as error:
            text = f"labkit left out an output that no notebook can hold: {error.message}\n"
            filed = new_output("stream", name="stderr", text=self._execution.redactor.text(text))
            cell.outputs.append(filed)
        return filed

    def _note(self, value: object) -> None:
        try:
            record = record_from_json(value)
        except RecordError:
            return  # it stays in the notebook, and its reader calls it malformed
        self._records.append(record)
        if isinstance(record, CheckStarted):
            self._arm(record)
        elif isinstance(record, CheckRecord):
            self._disarm()
        self._execution.observer.heard(record)

    def _hear_of_lost_starts(self) -> None:
        """Note the checks whose start was still on its way when the kernel died."""
        for start in noted_starts(self._execution.place.folder):
            if start not in self._records:
                self._execution.observer.heard(start)

    def _arm(self, check: CheckStarted) -> None:
        self._disarm()
        patience_s = min(max(check.deadline_s, 0.0), _NO_DEADLINE_S) + self._execution.grace_s
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(patience_s, self._kill_for, check)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Early ends ---------------------------------------------------------------------------------

    def _kill_for(self, check: CheckStarted) -> None:
        if self._stopped is None:
            text = f"check {check.name} resisted its deadline of {check.deadline_s:g} s"
            self._stopped = Ended(Ending.CHECK_KILLED, text, self._index)
            self._execution.observer.killed(check)
            self._giving_way = asyncio.create_task(self._kill())

    def _stop(self, ending: Ending) -> None:
        if self._stopped is None:
            self._stopped = Ended(ending, self._why(ending), self._index)
            self._giving_way = asyncio.create_task(self._give_way())

    def _why(self, ending: Ending) -> str:
        where = "before its first cell" if self._index is None else f"in cell {self._index}"
        if ending is Ending.DEADLINE:
            return f"the notebook's deadline of {self._execution.deadline_s:g} s passed {where}"
        return f"the run was cancelled {where}"

    async def _give_way(self) -> None:
        """Interrupt the running cell, twice if need be; kill the kernel when that does not help."""
        for _ in range(2):
            if self._index is None or self.km is None or self._cell_over.is_set():
                break
            await self.km.interrupt_kernel()
            self._wake()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._cell_over.wait(), self._execution.grace_s / 2)
        if not self._cell_over.is_set():
            await self._kill()

    def _wake(self) -> None:
        # ipykernel acts on an interrupt of an idle await only when its loop turns next.
        if self.kc is not None:
            self.kc.kernel_info()

    async def _kill(self) -> None:
        if self.km is not None and self.km.has_kernel:
            await self.km.signal_kernel(signal.SIGKILL)

    def _how_it_ended(self) -> Ended:
        error = self._cell_error
        if self._asked_to_exit and self._index != self._last_executed_cell():
            return Ended(Ending.STOPPED_EARLY, f"cell {self._index} called exit()", self._index)
        if error is None:
            return Ended(Ending.REACHED_THE_END)
        told = self._execution.redactor.text(f"{error.ename}: {error.evalue}")
        if error.ename == "NotGreen" and self._index == self._last_executed_cell():
            return Ended(Ending.REACHED_THE_END)
        if error.ename == "SystemExit":
            return Ended(Ending.STOPPED_EARLY, f"cell {self._index} ended by {told}", self._index)
        if error.ename in _IMPORT_ERRORS and not self._records:
            return Ended(Ending.IMPORT_ERROR, f"cell {self._index}: {told}", self._index)
        return Ended(Ending.CELL_ERROR, f"cell {self._index} raised {told}", self._index)

    def _last_executed_cell(self) -> int:
        """The last cell that nbclient sends to a kernel."""
        return max(
            index
            for index, cell in enumerate(self.nb.cells)
            if cell.cell_type == "code"
            and cell.source.strip()
            and self.skip_cells_with_tag not in cell.metadata.get("tags", [])
        )

    def _how_it_died(self, error: BaseException) -> Ended:
        if isinstance(error, DeadKernelError):
            return Ended(Ending.KERNEL_DIED, f"the kernel died in cell {self._index}", self._index)
        told = self._execution.redactor.text(f"{type(error).__name__}: {error}")
        return Ended(Ending.NO_KERNEL, told, self._index)


def _post(loop: asyncio.AbstractEventLoop, stop: Callable[[Ending], None], ending: Ending) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the execution is over
        loop.call_soon_threadsafe(stop, ending)
