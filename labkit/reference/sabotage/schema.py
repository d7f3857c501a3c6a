"""Platforms whose database lets through what it has to refuse."""

from __future__ import annotations

from typing import Final

from labkit.reference.platform import Parts, Platform
from labkit.reference.sabotage.altered import AlteredSchema
from labkit.sabotage import Sabotage

_AREA: Final = "database_transactions"
_BOUNDARIES: Final = "data_consistency_across_user_boundaries"
_EXECUTIONS: Final = "agent_execution_data_persistence"


class _Unprotected(AlteredSchema):
    alteration = """
        alter table threads disable row level security;
        alter table messages disable row level security;
        alter table executions disable row level security;
    """


class WithoutRowLevelSecurity(Platform):
    """The policies on threads and what hangs on them are there and never asked."""

    parts = Parts(schema=_Unprotected)


class _OpenToWrites(AlteredSchema):
    alteration = """
        alter policy own on threads with check (true);
        alter policy own on messages with check (true);
        alter policy own on executions with check (true);
    """


class WritesUnchecked(Platform):
    """The policies hide other users' rows, and let anything be written."""

    parts = Parts(schema=_OpenToWrites)


class _LinkedById(AlteredSchema):
    alteration = """
        alter table messages drop constraint messages_thread;
        alter table messages add constraint messages_thread
            foreign key (thread_id) references threads (id) on delete cascade;
    """


class ForeignKeyOnTheIdAlone(Platform):
    """A message's thread must exist, but may be anybody's."""

    parts = Parts(schema=_LinkedById)


class _Unlinked(AlteredSchema):
    alteration = "alter table executions drop constraint if exists executions_message"


class LinkNotEnforced(Platform):
    """An execution may be linked to any message, or to none that exists."""

    parts = Parts(schema=_Unlinked)


SABOTAGES: Final = (
    Sabotage.of(
        WithoutRowLevelSecurity,
        "no-row-level-security",
        area=_AREA,
        promise="The database itself hides other users' rows.",
        stands_for="Tables without row-level security, as in CVE-2025-48757.",
        must={_BOUNDARIES: "foreign-row-read"},
    ),
    Sabotage.of(
        WritesUnchecked,
        "writes-unchecked",
        area=_AREA,
        promise="The database itself refuses to write another's rows.",
        stands_for="A policy `WITH CHECK (true)`.",
        must={_BOUNDARIES: "foreign-write-accepted"},
    ),
    Sabotage.of(
        ForeignKeyOnTheIdAlone,
        "foreign-key-on-id",
        area=_AREA,
        promise="A message fits into its own user's thread alone.",
        stands_for="Foreign keys look past row-level security.",
        must={_BOUNDARIES: "foreign-write-accepted"},
    ),
    Sabotage.of(
        LinkNotEnforced,
        "link-not-enforced",
        area=_AREA,
        promise="An execution is linked to a message of its own thread.",
        stands_for="A reference by convention, without a constraint.",
        must={_EXECUTIONS: "link-not-enforced"},
    ),
)
