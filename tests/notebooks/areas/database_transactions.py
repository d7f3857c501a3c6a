"""What the database notebook catches."""

from __future__ import annotations

from typing import Final

from tests import saboteurs
from tests.notebooks.stage import Caught

ACID: Final = "acid_transaction_rollback_on_error"
CONCURRENCY: Final = "concurrent_database_operations_isolation"
POOL: Final = "database_connection_pooling_and_session_management"
BOUNDARIES: Final = "data_consistency_across_user_boundaries"
EXECUTIONS: Final = "agent_execution_data_persistence"

CAUGHT: Final[Caught] = {
    saboteurs.CommitsEachStatement: {
        ACID: "partial-write",
        CONCURRENCY: "isolation-level-differs",
    },
    saboteurs.CommitsOnError: {ACID: "partial-write", CONCURRENCY: "isolation-level-differs"},
    saboteurs.AcknowledgesTooEarly: {ACID: "lost-commit"},
    saboteurs.TransfersAtReadCommitted: {CONCURRENCY: "total-changed"},
    saboteurs.RepeatsTheLastStatement: {CONCURRENCY: "total-changed"},
    saboteurs.AlwaysReadCommitted: {CONCURRENCY: "isolation-level-differs"},
    saboteurs.AlwaysRepeatableRead: {CONCURRENCY: "isolation-level-differs"},
    saboteurs.AlwaysSerializable: {CONCURRENCY: "isolation-level-differs"},
    saboteurs.LeaksOnCancel: {POOL: "connection-leaked"},
    saboteurs.GrowsPastItsBound: {POOL: "pool-outgrown"},
    saboteurs.WithoutRowLevelSecurity: {BOUNDARIES: "foreign-row-read"},
    saboteurs.WritesUnchecked: {BOUNDARIES: "foreign-write-accepted"},
    saboteurs.ForeignKeyOnTheIdAlone: {BOUNDARIES: "foreign-write-accepted"},
    saboteurs.FlattensJson: {EXECUTIONS: "json-flattened"},
    saboteurs.LinkNotEnforced: {EXECUTIONS: "link-not-enforced"},
}
