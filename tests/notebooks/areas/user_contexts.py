"""What the context notebook catches."""

from __future__ import annotations

from typing import Final

from tests import saboteurs_contexts as saboteurs
from tests.notebooks.stage import Caught

FACTORY: Final = "user_context_factory_creates_isolated_contexts"
CROWD: Final = "concurrent_user_context_creation_no_leakage"
LIFECYCLE: Final = "session_scoped_context_lifecycle"
SERVICES: Final = "factory_adapter_integration_with_real_services"
EXECUTION: Final = "execution_factory_user_context_integration"

CAUGHT: Final[Caught] = {
    saboteurs.HandsOutOneContext: {
        FACTORY: "context-shared",
        CROWD: "wrong-identity",
        SERVICES: "wrong-identity",
        EXECUTION: "wrong-identity",
    },
    saboteurs.LooksUpItsUser: {
        FACTORY: "context-shared",
        CROWD: "wrong-identity",
        EXECUTION: "wrong-identity",
    },
    saboteurs.SharesADefault: {
        FACTORY: "context-shared",
        CROWD: "wrong-identity",
        SERVICES: "wrong-identity",
        EXECUTION: "wrong-identity",
    },
    saboteurs.QueriesWithoutTheUser: {
        FACTORY: "foreign-row-read",
        CROWD: "foreign-read-accepted",
        EXECUTION: "foreign-row-read",
    },
    saboteurs.NeverEndsSessions: {LIFECYCLE: "used-after-end"},
    saboteurs.LeavesTransactionsOpen: {LIFECYCLE: "left-open"},
    saboteurs.CachesForEver: {LIFECYCLE: "left-open"},
    saboteurs.NeverLooksAtTheTime: {LIFECYCLE: "used-after-expiry"},
    saboteurs.CachesWithoutTheUser: {CROWD: "leak", SERVICES: "foreign-value-read"},
    saboteurs.FindsRunsByIdAlone: {EXECUTION: "foreign-run-reached"},
}
