"""What a fault of one area turns red in others: the checks further down the same promise.

Seen when all sabotages were tried in all notebooks. A check may notice such a fault, or not: it may
be another that is the first to fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DOWNSTREAM: Final[Mapping[str, tuple[str, ...]]] = {
    "completion-not-stored": (
        "agent_websocket_events_all_five_critical_events",
        "execution_factory_user_context_integration",
        "message_pipeline_websocket_to_agent_execution",
    ),
    "tool-call-not-stored": ("agent_websocket_events_all_five_critical_events",),
    "one-context-for-all": (
        "websocket_user_isolation_concurrent_sessions",
        "message_persistence_with_user_isolation",
    ),
    "context-variable-leaks": (
        "websocket_user_isolation_concurrent_sessions",
        "message_persistence_with_user_isolation",
    ),
    "no-rollback": (
        "concurrent_database_operations_isolation",
        "cache_database_synchronization",
    ),
    "kind-dropped": (
        "agent_execution_with_database_persistence",
        "concurrent_agent_executions_with_user_isolation",
        "agent_execution_error_handling_with_rollback",
        "factory_adapter_integration_with_real_services",
    ),
    "kind-twice": (
        "agent_execution_with_database_persistence",
        "concurrent_agent_executions_with_user_isolation",
    ),
    "wrong-thread": (
        "agent_execution_with_database_persistence",
        "concurrent_agent_executions_with_user_isolation",
        "factory_adapter_integration_with_real_services",
    ),
    "broadcast": ("concurrent_agent_executions_with_user_isolation",),
    "one-process-only": (
        "agent_execution_error_handling_with_rollback",
        "factory_adapter_integration_with_real_services",
        "message_pipeline_websocket_to_agent_execution",
    ),
    "no-replay": ("agent_execution_error_handling_with_rollback",),
    "events-swapped": (
        "agent_execution_with_database_persistence",
        "concurrent_agent_executions_with_user_isolation",
        "agent_execution_error_handling_with_rollback",
        "factory_adapter_integration_with_real_services",
    ),
    "wrong-clock": ("agent_execution_with_database_persistence",),
    "query-without-user": (
        "session_isolation_enforcement",
        "data_consistency_across_user_boundaries",
        "cache_database_synchronization",
        "message_persistence_with_user_isolation",
    ),
    "cached-for-ever": (
        "cache_ttl_and_invalidation_patterns",
        "concurrent_cache_operations_thread_safety",
    ),
    "context-cache-key-without-user": (
        "user_cache_isolation_and_namespacing",
        "concurrent_cache_operations_thread_safety",
    ),
    "autocommit": (
        "agent_execution_error_handling_with_rollback",
        "execution_context_state_transitions",
        "websocket_connection_error_handling",
        "cache_database_synchronization",
        "message_pipeline_websocket_to_agent_execution",
    ),
    "commit-on-error": (
        "agent_execution_error_handling_with_rollback",
        "cache_database_synchronization",
    ),
    "always-repeatable-read": (
        "execution_context_state_transitions",
        "message_pipeline_websocket_to_agent_execution",
    ),
    "always-serializable": (
        "concurrent_agent_executions_with_user_isolation",
        "execution_context_state_transitions",
        "websocket_user_isolation_concurrent_sessions",
        "websocket_connection_error_handling",
        "websocket_event_ordering_and_timing",
        "concurrent_user_context_creation_no_leakage",
        "factory_adapter_integration_with_real_services",
        "message_pipeline_websocket_to_agent_execution",
        "message_persistence_with_user_isolation",
    ),
    "no-row-level-security": (
        "session_isolation_enforcement",
        "websocket_user_isolation_concurrent_sessions",
        "user_context_factory_creates_isolated_contexts",
        "concurrent_user_context_creation_no_leakage",
        "factory_adapter_integration_with_real_services",
        "execution_factory_user_context_integration",
        "cache_database_synchronization",
        "message_persistence_with_user_isolation",
    ),
    "foreign-key-on-id": ("user_context_factory_creates_isolated_contexts",),
    "cache-key-without-user": (
        "concurrent_user_context_creation_no_leakage",
        "factory_adapter_integration_with_real_services",
    ),
    "cancelled-connection-handed-on": ("quality_message_routing_and_filtering",),
    "deleted-title-kept": ("data_consistency_across_user_boundaries",),
    "message-query-without-user": (
        "session_isolation_enforcement",
        "user_context_factory_creates_isolated_contexts",
        "concurrent_user_context_creation_no_leakage",
        "execution_factory_user_context_integration",
        "data_consistency_across_user_boundaries",
        "cache_database_synchronization",
    ),
    "messages-out-of-order": (
        "user_context_factory_creates_isolated_contexts",
        "data_consistency_across_user_boundaries",
    ),
    "filter-inverted": ("quality_message_router_integration",),
}
"""The checks, of other areas than its own, that a sabotage may turn red, by its name."""
