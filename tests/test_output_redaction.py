"""Nothing that a kernel sends holds a secret, and the lab's own words stay as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from labkit.output_redaction import OutputGate, guard_output, redact_bundle, redact_content
from labkit.records import (
    MEDIA_TYPE,
    CheckRecord,
    Expectation,
    LabClosed,
    Outcome,
    record_from_json,
    record_to_json,
)
from labkit.redaction import Redactor, Secret

SECRET = "kU7-xq.29Zt"
PATIENCE_S = 60


def redactor(*secrets: str) -> Redactor:
    """A redactor that knows these secrets, `SECRET` if there are none."""
    return Redactor(map(Secret, secrets or (SECRET,)))


class Wire:
    """A messaging session as the gate sees it; keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.send: Callable[..., Any] = self._keep

    def _keep(self, _stream: object, message: Any, content: Any = None, **_options: object) -> None:
        """Keep a message, given by its kind or whole."""
        if isinstance(message, str):
            self.sent.append((message, content))
        else:
            self.sent.append((message["header"]["msg_type"], message["content"]))

    def text(self, name: str = "stdout") -> str:
        """All that was sent of one stream."""
        texts = (content for kind, content in self.sent if kind == "stream")
        return "".join(content["text"] for content in texts if content["name"] == name)


def piece(text: str, name: str = "stdout") -> dict[str, Any]:
    """A stream message as a kernel makes it."""
    return {"header": {"msg_type": "stream"}, "content": {"name": name, "text": text}}


def test_streams_are_clean_wherever_they_are_cut() -> None:
    """However a text is cut into two messages, its secret is masked and the rest is whole."""
    text = f"before {SECRET} after"
    for cut in range(len(text) + 1):
        wire = Wire()
        gate = OutputGate(wire, redactor())
        gate("iopub", piece(text[:cut]))
        gate("iopub", piece(text[cut:]))
        gate("iopub", "execute_reply", {"status": "ok"})
        assert wire.text() == "before *** after"


def test_ends_are_sent_before_the_cell_ends() -> None:
    """A tail that could become a secret is held until the kernel is idle or replies."""
    for kind, content in (("status", {"execution_state": "idle"}), ("execute_reply", {})):
        wire = Wire()
        gate = OutputGate(wire, redactor())
        gate("iopub", piece(f"end {SECRET[:4]}"))
        gate("iopub", "status", {"execution_state": "busy"})
        assert wire.text() == "end "
        gate("iopub", kind, content)
        assert [sent for sent, _ in wire.sent[-2:]] == ["stream", kind]
        assert wire.text() == f"end {SECRET[:4]}"


def test_streams_do_not_mix() -> None:
    """Each stream has a tail of its own, which another one does not complete."""
    wire = Wire()
    gate = OutputGate(wire, redactor())
    gate("iopub", piece(SECRET[:5]))
    gate("iopub", piece(SECRET[5:], "stderr"))
    gate("iopub", piece(SECRET[5:]))
    gate("iopub", "execute_reply", {})
    assert (wire.text(), wire.text("stderr")) == ("***", SECRET[5:])


def test_a_gate_is_given_more_secrets() -> None:
    """Guarding again changes the secrets of the gate that is there, and puts no second one up."""
    wire = Wire()
    guard_output(wire, redactor())
    gate = wire.send
    guard_output(wire, redactor(SECRET, "another-secret"))
    assert wire.send is gate
    gate("iopub", "display_data", {"data": {"text/plain": f"{SECRET} another-secret"}})
    assert wire.sent == [("display_data", {"data": {"text/plain": "*** ***"}})]


def test_source_is_not_captured_output() -> None:
    """The code of a cell, which the kernel sends back, is left to the search of the run's files."""
    content = {"code": f"print('{SECRET}')"}
    assert redact_content("execute_input", content, redactor()) == content


def test_records_keep_the_words_of_the_lab() -> None:
    """Secrets that are words of the lab change no name, claim, outcome or reason of a record."""
    words = ("deselected", "lost-commit", "the claim", "check-name", "broken-thing")
    row = Expectation(
        "label deselected", "deselected", "broken-thing", holds=False, reason="lost-commit"
    )
    record = CheckRecord(
        name="check-name",
        claim="the claim",
        outcome=Outcome.DESELECTED,
        reason="lost-commit",
        detail="detail: broken-thing",
        expectations=(row,),
        notes=("note: broken-thing",),
        started_at=1.0,
        seconds=1.0,
    )
    cleaned = redact_bundle({MEDIA_TYPE: record_to_json(record)}, redactor(*words))
    masked = Expectation("label ***", "***", "***", holds=False, reason="lost-commit")
    found = record_from_json(cleaned[MEDIA_TYPE])
    assert isinstance(found, CheckRecord)
    assert (found.name, found.claim) == (record.name, record.claim)
    assert (found.outcome, found.reason) == (record.outcome, record.reason)
    assert (found.detail, found.notes) == ("detail: ***", ("note: ***",))
    assert found.expectations == (masked,)


def test_only_true_records_are_spared() -> None:
    """Other kinds of records go as they are; what only looks like a record is masked whole."""
    closed = record_to_json(LabClosed(Outcome.PASSED, 1.0))
    assert redact_bundle({MEDIA_TYPE: closed}, redactor("lab-closed")) == {MEDIA_TYPE: closed}
    forged = {**closed, "more": SECRET}
    assert redact_bundle({MEDIA_TYPE: forged}, redactor())[MEDIA_TYPE]["more"] == "***"


@contextmanager
def kernel() -> Iterator[BlockingKernelClient]:
    """A client of a real kernel, which is shut down at the end."""
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        manager = KernelManager(transport="ipc", ip=f"{folder}/k")
        manager.connection_file = f"{folder}/kernel.json"
        manager.start_kernel()
        try:
            client = manager.client()
            client.start_channels()
            client.wait_for_ready(timeout=PATIENCE_S)
            yield client
            client.stop_channels()
        finally:
            manager.shutdown_kernel(now=True)


def told(client: BlockingKernelClient, source: str) -> str:
    """Everything that the kernel sends while it runs a cell, the reply included."""
    messages: list[Any] = []
    options = {"output_hook": messages.append, "timeout": PATIENCE_S, "allow_stdin": False}
    reply = client.execute_interactive(source, **options)
    contents = [each["content"] for each in messages if each["msg_type"] != "execute_input"]
    return repr([*contents, reply["content"]])


GUARDED = f"""
from labkit.output_redaction import guard_output
from labkit.redaction import Redactor, Secret
secret = {SECRET!r}
guard_output(get_ipython().kernel.session, Redactor([Secret(secret)]))
"""


def test_a_held_end_like_what_came_before_arrives_too() -> None:
    """Two alike pieces of one message are no message that is sent twice, which clients refuse."""
    with kernel() as client:
        assert "'ok'" in told(client, GUARDED)
        heard = told(client, f"print({SECRET[0]!r} * 2, end='')")
        assert heard.count(f"'text': {SECRET[0]!r}") == 2


def test_a_real_kernel_tells_no_secret() -> None:
    """Prints, processes, displays and their updates, results and errors leave it masked."""
    ways = (
        "print(secret[:4], end='', flush=True); print(secret[4:], 'said')",
        "!printf 'said %s' $secret",
        "handle = display({'text/html': '<b>said ' + secret}, raw=True, display_id=True)",
        "handle.update({'text/html': '<i>said ' + secret}, raw=True)",
        "'said ' + secret",
        "raise ValueError('said ' + secret)",
        "get_ipython().set_next_input('said ' + secret)",
    )
    with kernel() as client:
        assert "'ok'" in told(client, GUARDED)
        for way in ways:
            heard = told(client, way)
            assert SECRET not in heard, way
            assert "said" in heard, way
