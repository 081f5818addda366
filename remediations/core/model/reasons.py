"""Why nothing is done now: the closed set of reasons, in the order of the guards."""

from __future__ import annotations

from enum import StrEnum


class HoldReason(StrEnum):
    """Why nothing is done now: a closed set, in guard order."""

    KILL_SWITCH = "kill_switch"
    FOREIGN_TARGET = "foreign_target"
    EXPIRED = "expired"
    COLD_START = "cold_start"
    FREEZE_WINDOW = "freeze_window"
    OUTSIDE_SCHEDULE = "outside_schedule"
    SILENCED = "silenced"
    SILENCE_UNKNOWN = "silence_unknown"
    HANDS_OFF = "hands_off"
    HUMAN_ACTIVE = "human_active"
    RECENT_CHANGE = "recent_change"
    CHANGES_UNKNOWN = "changes_unknown"
    ITSELF = "itself"
    NOT_ALLOWED = "not_allowed"
    OTHER_RUNG = "other_rung"
    CONDITION_UNKNOWN = "condition_unknown"
    LOAD_TOO_HIGH = "load_too_high"
    DEPENDENCY_DOWN = "dependency_down"
    DEPENDENCY_UNKNOWN = "dependency_unknown"
    STORM = "storm"
    BREAKER_OPEN = "breaker_open"
    LADDER_EXHAUSTED = "ladder_exhausted"
    BUDGET_SPENT = "budget_spent"
    COOLDOWN = "cooldown"
    TARGET_BUSY = "target_busy"
    WITNESS_MISSING = "witness_missing"
    WITNESSES_DISAGREE = "witnesses_disagree"
    NO_ORCHESTRATOR = "no_orchestrator"
    TARGET_MISSING = "target_missing"
    TARGET_UNKNOWN = "target_unknown"
    OWNER_UNKNOWN = "owner_unknown"
    OWNED_BY_OTHER = "owned_by_other"
    AUTOSCALER_BLIND = "autoscaler_blind"
    AUTOSCALER_AT_CAP = "autoscaler_at_cap"
    ROLLOUT_RUNNING = "rollout_running"
    WORKLOAD_PAUSED = "workload_paused"
    PARTIALLY_READY = "partially_ready"
    NOTHING_READY = "nothing_ready"
    DISRUPTION_BUDGET = "disruption_budget"
    PODS_REFUSED = "pods_refused"
    """New pods would not be taken: by quota, LimitRange, Pod Security, or for want of an object that they name."""
    PODS_UNKNOWN = "pods_unknown"
    """Pod Security may refuse new pods, and the API server would not warn of it."""
    DROP_TABLES = "drop_tables"
    TEMPLATE_UNREADABLE = "template_unreadable"
    CONFIGURATION_CHANGED = "configuration_changed"
    CONFIGURATION_UNKNOWN = "configuration_unknown"
    IMAGE_UNPINNED = "image_unpinned"
    CONNECTION_BUDGET = "connection_budget"
    CONNECTIONS_UNKNOWN = "connections_unknown"
    LOCKED = "locked"
    LOCK_UNKNOWN = "lock_unknown"
    CUSTOM = "custom"
    CUSTOM_UNKNOWN = "custom_unknown"
    SELF_TEST_UNKNOWN = "self_test_unknown"
    APPROVAL = "approval"
    SELF_TEST_FAILED = "self_test_failed"
    """Like `approval`, for a policy in mode auto whose rights are too wide."""
    REJECTED = "rejected"
    """A person has said no to its plan, and nobody yes since."""
    OBJECT_CHANGED = "object_changed"
    WRITE_REFUSED = "write_refused"
    WRITE_LOST = "write_lost"
    """The write got an error or no answer, and nothing of it was stored: an attempt that counts."""


class Settled(StrEnum):
    """Why nothing is left to do: a closed set."""

    CONDITION_GONE = "condition_gone"
    CHANGED_SINCE = "changed_since"
    """Somebody else has set what was to be taken back."""


WORDS = {
    "kill_switch": "paused",
    "guards_passed": "all guards passed",
    "itself": "about the remediator itself",
    "custom": "a guard of the policy",
    "custom_unknown": "a guard of the policy is unknown",
    "hands_off": "marked hands-off",
    "human_active": "a person was active",
}


def describe_reason(reason: str) -> str:
    """A reason in words, for people."""
    return WORDS.get(reason) or reason.replace("_", " ")
