"""What the notifications notebook catches.

Whole runs are judged in four of the five checks, so that some faults show in several of them.
"""

from __future__ import annotations

from typing import Final

from tests import saboteurs_notifications as saboteurs
from tests.notebooks.stage import Caught

FIVE: Final = "agent_websocket_events_all_five_critical_events"
ISOLATION: Final = "websocket_user_isolation_concurrent_sessions"
ERRORS: Final = "websocket_connection_error_handling"
QUALITY: Final = "quality_message_router_integration"
ORDERING: Final = "websocket_event_ordering_and_timing"

CAUGHT: Final[Caught] = {
    saboteurs.KindDropped: {FIVE: "gap", ISOLATION: "gap", ERRORS: "gap", ORDERING: "gap"},
    saboteurs.KindTwice: dict.fromkeys((FIVE, ERRORS, ORDERING), "duplicate-event"),
    saboteurs.WrongThread: dict.fromkeys((FIVE, ERRORS, ORDERING), "foreign-event"),
    saboteurs.Broadcast: {ISOLATION: "leak", QUALITY: "foreign-event"},
    saboteurs.AnyToken: {ISOLATION: "token-not-refused"},
    saboteurs.OwnProcessOnly: {ISOLATION: "missing-event"},
    saboteurs.NoReplay: {ERRORS: "missing-event"},
    saboteurs.ReplayFromTheStart: {ERRORS: "duplicate-event"},
    saboteurs.SlowReaderBlocks: {ERRORS: "held-up"},
    saboteurs.RoutesSwapped: {QUALITY: "wrong-route"},
    saboteurs.PayloadCut: {QUALITY: "payload-changed"},
    saboteurs.TwoSwapped: dict.fromkeys((FIVE, ERRORS, ORDERING), "out-of-order"),
    saboteurs.GapInSeq: {ERRORS: "gap", ORDERING: "gap"},
    saboteurs.WrongClock: {FIVE: "clock-wrong", ORDERING: "clock-wrong"},
}
