"""Platforms whose message routing has one faulty part.

They serve inside the notebook's kernel, which is sooner there than processes are.
"""

from __future__ import annotations

from typing import Final

from labkit.errors import Rejected
from labkit.ids import MessageID
from labkit.reference import platform as reference
from labkit.reference.cache.keyspace import Kind
from labkit.reference.data.history import History
from labkit.reference.data.refusals import no_such, refusals
from labkit.reference.data.stages import Stages
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.execution.executions import Executions, Run
from labkit.reference.platform import Parts
from labkit.reference.routing.intake import Accepted, Incoming, Intake
from labkit.reference.routing.quality import Payload, Quality, QualityType
from labkit.reference.sabotage.altered import AlteredSchema
from labkit.sabotage import Sabotage
from labkit.targets.pipeline import MessageView, Role
from labkit.targets.routing import Page

_AREA: Final = "message_routing"
_PIPELINE: Final = "message_pipeline_websocket_to_agent_execution"
_QUALITY: Final = "quality_message_routing_and_filtering"
_PERSISTENCE: Final = "message_persistence_with_user_isolation"


class _Skipping(Stages):
    async def reached(
        self, transaction: UserTransaction, message: str, stage: str, *, ago_s: float = 0.0
    ) -> None:
        if stage != "validated":
            await super().reached(transaction, message, stage, ago_s=ago_s)


class _Unchecked(Intake):
    def _validate(self, incoming: Incoming) -> None:
        if "\0" in incoming.text:  # the database would refuse it anyway
            raise Rejected("the message's text holds a NUL")


class SkipsAStage(reference.InKernel):
    """A message goes on without having been validated."""

    parts = Parts(stages=_Skipping, intake=_Unchecked)


class _Late(Stages):
    async def reached(
        self, transaction: UserTransaction, message: str, stage: str, *, ago_s: float = 0.0
    ) -> None:
        late_s = -60.0 if stage == "routed" else ago_s
        await super().reached(transaction, message, stage, ago_s=late_s)


class TellsAStageTooLate(reference.InKernel):
    """By its times, a message was executed before it was routed."""

    parts = Parts(stages=_Late)


class _WithoutUniqueIds(AlteredSchema):
    alteration = """
        alter table executions drop constraint if exists executions_user_id_request_id_key;
        alter table messages drop constraint if exists messages_user_id_request_id_key;
    """


_INSERT: Final = """
    insert into executions (id, user_id, thread_id, request_id, agent, input, owner)
    values ($1, $2, $3, $4, $5, $6, $7)
"""


class _Inserting(Executions):
    async def insert(self, transaction: UserTransaction, run: Run, owner: int | None) -> bool:
        with refusals(denied=no_such(run.user, "thread", run.thread)):
            await transaction.execute(
                _INSERT, run.id, run.user, run.thread, run.request, run.agent, run.text, owner
            )
        return True


class ExecutesEveryCopy(reference.InKernel):
    """Nobody looks whether a message has been there before."""

    parts = Parts(schema=_WithoutUniqueIds, executions=_Inserting)


class _Looking(_Inserting):
    async def insert(self, transaction: UserTransaction, run: Run, owner: int | None) -> bool:
        is_known = "select from executions where request_id = $1"
        if await transaction.fetch(is_known, run.request):
            return False
        return await super().insert(transaction, run, owner)


class LooksBeforeItInserts(reference.InKernel):
    """Whether a message is new is looked up first, and nothing holds that in between."""

    parts = Parts(schema=_WithoutUniqueIds, executions=_Looking)


class _Hasty(Intake):
    async def accept(self, incoming: Incoming) -> Accepted:
        if not incoming.text.strip():
            async with self._store.transaction(incoming.user) as transaction:
                await transaction.add_message(
                    incoming.thread, incoming.text, request=incoming.message
                )
        return await super().accept(incoming)


class StoresBeforeItValidates(reference.InKernel):
    """A message is stored first, and stays when it turns out not to be valid."""

    parts = Parts(intake=_Hasty)


class _Inverted(Quality):
    def _fault(self, payload: Payload) -> str | None:
        return None if super()._fault(payload) else "it has no fault"

    def _route(self, payload: Payload) -> QualityType:
        if fault := self._fault(payload):
            raise Rejected(fault)
        return QualityType.ALERT


class InvertsTheFilter(reference.InKernel):
    """What is valid is refused, and the rest is taken for an alert."""

    parts = Parts(quality=_Inverted)


class _Common(Quality):
    def _key(self, _user: str) -> str:
        return self._keys.key("everybody", Kind.QUALITY)


class CountsAllUsersTogether(reference.InKernel):
    """The metrics of all users lie under one key."""

    parts = Parts(quality=_Common)


class _Unfiltered(AlteredSchema):
    alteration = """
        alter policy own on threads using (true) with check (user_id = acting_user());
        alter policy own on messages using (true) with check (user_id = acting_user());
    """


class ReadsForAnybody(reference.InKernel):
    """Threads and messages are found by their ids, whoever asks."""

    parts = Parts(schema=_Unfiltered)


_BY_OFFSET: Final = """
    select id, role, text, call_id from messages
     where thread_id = $1 order by position offset $2 limit $3
"""


class _Counting(History):
    async def page(self, user: str, thread: str, after: str | None, limit: int) -> Page:
        await super().page(user, thread, None, limit)  # for its refusals
        offset = int(after or 0)
        async with self._store.transaction(user) as transaction:
            rows = await transaction.fetch(_BY_OFFSET, thread, offset, limit + 1)
        views = [MessageView(one, Role(role), text, call) for one, role, text, call in rows[:limit]]
        return Page(views, str(offset + limit) if len(rows) > limit else None)


class PagesByOffset(reference.InKernel):
    """A page begins so many messages after the first."""

    parts = Parts(history=_Counting)


class _Unlocked(UserTransaction):
    async def add_message(
        self,
        thread: str,
        text: str,
        *,
        role: Role = Role.USER,
        call: str | None = None,
        request: str | None = None,
    ) -> str:
        message = MessageID.new()
        await self.execute(
            "insert into messages (id, user_id, thread_id, role, text, call_id, request_id)"
            " values ($1, $2, $3, $4, $5, $6, $7)",
            *(message, self._user, thread, role, text, call, request),
        )
        return message


class ShowsMessagesOutOfOrder(reference.InKernel):
    """Messages become visible when they are committed, whatever their positions are."""

    parts = Parts(transactions=_Unlocked)


SABOTAGES: Final = (
    Sabotage.of(
        SkipsAStage,
        "stage-skipped",
        area=_AREA,
        promise="A message goes through every stage.",
        stands_for="A fast path that leaves validation out.",
        must={_PIPELINE: "stage-missing"},
    ),
    Sabotage.of(
        TellsAStageTooLate,
        "stage-too-late",
        area=_AREA,
        promise="Stages are told in the order in which they are reached.",
        stands_for="Times taken when a batch is written, not when things happen.",
        must={_PIPELINE: "stage-order"},
    ),
    Sabotage.of(
        ExecutesEveryCopy,
        "duplicate-executed",
        area=_AREA,
        promise="The same message is executed once.",
        stands_for="At-least-once delivery without an idempotency key.",
        must={_PIPELINE: "executed-twice"},
    ),
    Sabotage.of(
        LooksBeforeItInserts,
        "duplicate-race",
        area=_AREA,
        promise="The same message is executed once, also when two copies race.",
        stands_for="Select-then-insert without a unique constraint.",
        must={_PIPELINE: "executed-twice"},
    ),
    Sabotage.of(
        StoresBeforeItValidates,
        "stored-before-validated",
        area=_AREA,
        promise="Of a refused message nothing is stored.",
        stands_for="Storing first, and no way back when it is refused.",
        must={_PIPELINE: "invalid-stored"},
    ),
    Sabotage.of(
        InvertsTheFilter,
        "filter-inverted",
        area=_AREA,
        promise="What is valid is handled, what is not is refused.",
        stands_for="A negated condition.",
        must={_QUALITY: "valid-refused"},
    ),
    Sabotage.of(
        CountsAllUsersTogether,
        "metrics-in-one-key",
        area=_AREA,
        promise="A user's metrics are made of that user's reports.",
        stands_for="A metric key without its tenant.",
        must={_QUALITY: "metrics-not-under-user"},
    ),
    Sabotage.of(
        ReadsForAnybody,
        "message-query-without-user",
        area=_AREA,
        promise="Another's thread gives no messages.",
        stands_for="Broken object-level authorization in a list endpoint.",
        must={_PERSISTENCE: "foreign-read-accepted"},
    ),
    Sabotage.of(
        PagesByOffset,
        "paging-by-offset",
        area=_AREA,
        promise="Paging neither repeats nor drops while others insert.",
        stands_for="OFFSET over a list that changes.",
        must={_PERSISTENCE: "page-repeats"},
    ),
    Sabotage.of(
        ShowsMessagesOutOfOrder,
        "messages-out-of-order",
        area=_AREA,
        promise="Messages become visible in the order of their positions.",
        stands_for="Sequence numbers taken before the commit, and a cursor that has passed them.",
        must={_PERSISTENCE: "page-drops"},
    ),
)
