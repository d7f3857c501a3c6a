"""What the routing notebook catches."""

from __future__ import annotations

from typing import Final

from tests import saboteurs_routing as saboteurs
from tests.notebooks.stage import Caught

PIPELINE: Final = "message_pipeline_websocket_to_agent_execution"
QUALITY: Final = "quality_message_routing_and_filtering"
PERSISTENCE: Final = "message_persistence_with_user_isolation"

CAUGHT: Final[Caught] = {
    saboteurs.SkipsAStage: {PIPELINE: "stage-missing"},
    saboteurs.TellsAStageTooLate: {PIPELINE: "stage-order"},
    saboteurs.ExecutesEveryCopy: {PIPELINE: "executed-twice"},
    saboteurs.LooksBeforeItInserts: {PIPELINE: "executed-twice"},
    saboteurs.StoresBeforeItValidates: {PIPELINE: "invalid-stored"},
    saboteurs.InvertsTheFilter: {QUALITY: "valid-refused"},
    saboteurs.CountsAllUsersTogether: {QUALITY: "metrics-not-under-user"},
    saboteurs.ReadsForAnybody: {PERSISTENCE: "foreign-read-accepted"},
    saboteurs.PagesByOffset: {PERSISTENCE: "page-repeats"},
    saboteurs.ShowsMessagesOutOfOrder: {PERSISTENCE: "page-drops"},
}
