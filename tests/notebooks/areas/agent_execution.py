"""What the agent notebook catches."""

from __future__ import annotations

from typing import Final

from tests import saboteurs_execution as saboteurs
from tests.notebooks.stage import Caught

PERSISTENCE: Final = "agent_execution_with_database_persistence"
ISOLATION: Final = "concurrent_agent_executions_with_user_isolation"
ERRORS: Final = "agent_execution_error_handling_with_rollback"
SESSIONS: Final = "session_isolation_enforcement"
STATES: Final = "execution_context_state_transitions"

CAUGHT: Final[Caught] = {
    saboteurs.CompletionNotStored: {PERSISTENCE: "completion-not-stored"},
    saboteurs.ToolCallNotStored: {PERSISTENCE: "tool-call-not-stored"},
    saboteurs.OneContextForAll: {ISOLATION: "leak"},
    saboteurs.LeakingContextVariable: {ISOLATION: "leak"},
    saboteurs.NoRollback: {ERRORS: "partial-write"},
    saboteurs.SwallowsErrors: {ERRORS: "error-swallowed"},
    saboteurs.DanglingToolCall: {ERRORS: "dangling-tool-call"},
    saboteurs.SessionKept: {SESSIONS: "session-not-refused"},
    saboteurs.PoolWithoutReset: {SESSIONS: "connection-not-clean"},
    saboteurs.AnyTransition: {STATES: "illegal-accepted"},
    saboteurs.ChecksThenActs: {STATES: "two-winners"},
}
