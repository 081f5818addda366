"""The closed set of reasons for a hold, in the order of the guards."""

from __future__ import annotations

from collections.abc import Mapping
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
    """The cluster would refuse new pods: by quota, LimitRange or Pod Security, or because an object that they name
    is missing."""
    PODS_UNKNOWN = "pods_unknown"
    """Pod Security may refuse new pods, and the API server would not warn."""
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
    """A person has rejected its plan and none has approved it since."""
    OBJECT_CHANGED = "object_changed"
    WRITE_REFUSED = "write_refused"
    WRITE_LOST = "write_lost"
    """The write got an error or no answer and stored nothing: an attempt that counts."""


class Settled(StrEnum):
    """Why nothing is left to do: a closed set."""

    CONDITION_GONE = "condition_gone"
    CHANGED_SINCE = "changed_since"
    """Somebody else has changed the number that was to be undone."""


EXPLANATIONS: Mapping[str, tuple[str, str]] = {
    HoldReason.KILL_SWITCH: (
        "A pause of everything, of the policy or of the target is in force.",
        "`pauses` lists it; end it with `resume NAME`, or delete the file that `pause_file` names.",
    ),
    HoldReason.FOREIGN_TARGET: (
        "The alert's labels do not satisfy the `identity` of the policy file: it is about another installation.",
        "If it is about this installation, correct `identity` or the external labels of Prometheus.",
    ),
    HoldReason.EXPIRED: (
        "The remediation could not act within the policy's `expires_seconds` and is closed.",
        "`show` gives the reason; if the fault lasts, its alert is sent again and begins a new remediation.",
    ),
    HoldReason.COLD_START: (
        "The program was down for more than ten minutes, and now waits five minutes for fresh data.",
        "Wait; it ends by itself.",
    ),
    HoldReason.FREEZE_WINDOW: (
        "A `freeze` window of the policy file or of the policy is open.",
        "Wait for its end, or repair by hand.",
    ),
    HoldReason.OUTSIDE_SCHEDULE: (
        "The policy acts only within its `schedule`, and no window of it is open.",
        "Wait for the next window, or repair by hand.",
    ),
    HoldReason.SILENCED: (
        "Alertmanager silences, inhibits or mutes the alert.",
        "End the silence there if the repair is wanted.",
    ),
    HoldReason.SILENCE_UNKNOWN: (
        "Alertmanager did not say whether the alert is silenced.",
        "Check that `alertmanager.url` answers, with the right credentials.",
    ),
    HoldReason.HANDS_OFF: (
        "The workload or one of its autoscalers has the annotation `controlcore.io/hands-off`.",
        "Remove the annotation when the work on the object is finished.",
    ),
    HoldReason.HUMAN_ACTIVE: (
        "Somebody else changed the target within the policy's `human_quiet_seconds`.",
        "Ask the person or tool that the hold names; it ends by itself.",
    ),
    HoldReason.RECENT_CHANGE: (
        "The alert began within `change_quiet_seconds` after another user or program changed the target.",
        "Look at that change first, and undo it if it is the cause; this hold does not end by itself.",
    ),
    HoldReason.CHANGES_UNKNOWN: (
        "It is unknown who changed the target recently.",
        "Check that the API server answers and that the rights are those of the chart.",
    ),
    HoldReason.ITSELF: (
        "The alert is about the remediator, or the target is the remediator's own Deployment.",
        "The remediator never acts on this: follow the alert's runbook.",
    ),
    HoldReason.NOT_ALLOWED: (
        "The alert names an object that is not among the policy's `targets`.",
        "If the policy may change it, add it to `targets`; else find out why the alert is routed to this policy.",
    ),
    HoldReason.OTHER_RUNG: (
        "Another rung of the policy's ladder is next, and acts on another object.",
        "Nothing: that rung has its own remediation.",
    ),
    HoldReason.CONDITION_UNKNOWN: (
        "Prometheus gave no single, fresh answer to the policy's condition.",
        "Check that `prometheus.url` answers and the collectors succeed; if a parameter is missing, the hold names it.",
    ),
    HoldReason.LOAD_TOO_HIGH: (
        "Replicas would be removed, and the load is too high for fewer.",
        "Nothing: it is decided again until the load falls.",
    ),
    HoldReason.DEPENDENCY_DOWN: (
        "A dependency of the policy is down, so the action would not help.",
        "Repair the dependency that the hold names.",
    ),
    HoldReason.DEPENDENCY_UNKNOWN: (
        "It is unknown whether a dependency of the policy is up.",
        "Check that Prometheus answers the query under `dependencies` with fresh data.",
    ),
    HoldReason.STORM: (
        "So many new alerts arrived that the `storm` limit of the policy file was reached.",
        "Look for the common cause; it ends by itself after `storm.cooldown_seconds`.",
    ),
    HoldReason.BREAKER_OPEN: (
        "Several writes in a row on this target had no proven success, or another user or program undid one.",
        "Find out why it did not help, then `breaker reset ACTION TARGET`.",
    ),
    HoldReason.LADDER_EXHAUSTED: (
        "Every rung of the policy's ladder has failed.",
        "A person is needed: the policy has nothing left to try.",
    ),
    HoldReason.BUDGET_SPENT: (
        "A budget for writes is used up.",
        "Find out why so many repairs are needed; the hold ends when enough of the writes are old.",
    ),
    HoldReason.COOLDOWN: (
        "The policy's last write to this target is younger than its `cooldown_seconds`.",
        "Wait; it ends by itself.",
    ),
    HoldReason.TARGET_BUSY: (
        "Another remediation, or a running Job, works on the target.",
        "Wait for its end; `list --open` shows remediations.",
    ),
    HoldReason.WITNESS_MISSING: (
        "No witness independent of the exporter could be read.",
        "Check that the policy's `witnesses` answer; those of pods need `kubernetes` in the settings.",
    ),
    HoldReason.WITNESSES_DISAGREE: (
        "The condition holds, but an independent witness sees no fault.",
        "Check whether the exporter reaches the product; the fault may be between the two.",
    ),
    HoldReason.NO_ORCHESTRATOR: (
        "The action needs Kubernetes, and it is not configured.",
        "Set `kubernetes` in the settings and restart the program.",
    ),
    HoldReason.TARGET_MISSING: (
        "The target does not exist.",
        "Correct the policy's `targets`, or create the object.",
    ),
    HoldReason.TARGET_UNKNOWN: (
        "The target, or other data that the action needs, could not be read.",
        "The hold says why; check that the API server or the database answers and that the rights suffice.",
    ),
    HoldReason.OWNER_UNKNOWN: (
        "It is unknown which object owns the number of replicas.",
        "Check that HorizontalPodAutoscalers and ScaledObjects may be listed in the namespace.",
    ),
    HoldReason.OWNED_BY_OTHER: (
        "Another controller owns the object and would undo the change.",
        "Change it at its owner; if no autoscaler exists, the policy may accept `replicas_owner` for the replicas.",
    ),
    HoldReason.AUTOSCALER_BLIND: (
        "The autoscaler sees no metrics, so a changed bound would have no effect.",
        "Repair the metrics that it scales by.",
    ),
    HoldReason.AUTOSCALER_AT_CAP: (
        "The number of replicas has reached the policy's `max_replicas_cap`.",
        "Raise the cap if the database has connections for more, or find out why the load is so high.",
    ),
    HoldReason.ROLLOUT_RUNNING: (
        "A rollout of the Deployment is running.",
        "Wait for its end, or repair the rollout if it is stuck.",
    ),
    HoldReason.WORKLOAD_PAUSED: (
        "The object is paused or scaled to zero.",
        "Resume it if it should run.",
    ),
    HoldReason.PARTIALLY_READY: (
        "Only some of the pods are ready, and the action could stop those first.",
        "Find out why the others are not ready.",
    ),
    HoldReason.NOTHING_READY: (
        "No pod is ready, so evicting one does not help.",
        "Find out why no pod is ready.",
    ),
    HoldReason.DISRUPTION_BUDGET: (
        "The action could stop more ready pods than the rollout strategy or a PodDisruptionBudget allows.",
        "Run more replicas, or lower `maxUnavailable`.",
    ),
    HoldReason.PODS_REFUSED: (
        "The cluster would refuse new pods: by quota, LimitRange or Pod Security, or because an object is missing.",
        "Repair what the hold names before any pod stops.",
    ),
    HoldReason.PODS_UNKNOWN: (
        "Pod Security may refuse new pods, and the API server would not warn.",
        "Set the namespace's level `warn` to the same as `enforce`.",
    ),
    HoldReason.DROP_TABLES: (
        "The pod template sets `CC_DROP_TABLES`: new pods would delete every table.",
        "Remove the variable from the Deployment before anything restarts.",
    ),
    HoldReason.TEMPLATE_UNREADABLE: (
        "The pod template could not be read completely.",
        "The hold says which part; check that the rights suffice.",
    ),
    HoldReason.CONFIGURATION_CHANGED: (
        "A ConfigMap or Secret of the pods changed since they started, and new pods would read it.",
        "Roll the change out by hand, or accept `changed_configuration` in the policy.",
    ),
    HoldReason.CONFIGURATION_UNKNOWN: (
        "It is unknown whether a ConfigMap or Secret of the pods changed since they started.",
        "Check that they may be read, or accept `unread_configuration` in the policy.",
    ),
    HoldReason.IMAGE_UNPINNED: (
        "An image is named by a tag and pulled at every start, so new pods may run another image.",
        "Name it by digest or use `IfNotPresent`, or accept `unpinned_image` in the policy.",
    ),
    HoldReason.CONNECTION_BUDGET: (
        "More replicas would need more database connections than the policy's share.",
        "Raise the database's limit or use a pooler; `connections` in the policy has the numbers.",
    ),
    HoldReason.CONNECTIONS_UNKNOWN: (
        "It is unknown how many connections the database accepts or the pods hold.",
        "Check that Prometheus answers `connections.limit` and that pods may be listed.",
    ),
    HoldReason.LOCKED: (
        "A lock of the policy file is held: a recovery or a backup runs.",
        "Wait for its end.",
    ),
    HoldReason.LOCK_UNKNOWN: (
        "It is unknown whether a lock of the policy file is held.",
        "Check that Prometheus answers the query under `locks` with fresh data.",
    ),
    HoldReason.CUSTOM: (
        "A guard that the policy defines holds.",
        "The hold has the reason from the policy file.",
    ),
    HoldReason.CUSTOM_UNKNOWN: (
        "A guard that the policy defines got no fresh result.",
        "Check that Prometheus answers its query with fresh data.",
    ),
    HoldReason.SELF_TEST_UNKNOWN: (
        "The self-test has not yet shown that the program's rights are limited.",
        "Check that the API server answers; `check-config` shows the self-test.",
    ),
    HoldReason.APPROVAL: (
        "The plan waits for approval, because the policy is in mode `approve`.",
        "Look at it with `show ID`, then `approve ID --plan HASH` or `reject ID`.",
    ),
    HoldReason.SELF_TEST_FAILED: (
        "The program's rights are wider than its policies, so the plans of a policy in mode `auto` wait for approval.",
        "Give it the Roles of the chart; until then approve as with `approval`.",
    ),
    HoldReason.REJECTED: (
        "A person has rejected the plan.",
        "Nothing; the plan may still be approved before it expires.",
    ),
    HoldReason.OBJECT_CHANGED: (
        "The object changed between decision and write.",
        "Nothing: it is decided again with the current object.",
    ),
    HoldReason.WRITE_REFUSED: (
        "The server refused the write.",
        "The hold has the server's answer; check whether rights, admission or a disruption budget refuse the write.",
    ),
    HoldReason.WRITE_LOST: (
        "The write got an error or no answer, and stored nothing.",
        "Check that the server answers; the write is retried within the budget.",
    ),
    Settled.CONDITION_GONE: (
        "The fault is gone: nothing is done.",
        "Nothing.",
    ),
    Settled.CHANGED_SINCE: (
        "Another user or program has changed the value since, so nothing is reverted.",
        "Nothing.",
    ),
}
"""The meaning of each reason, in one sentence, and what to do. `make generate` writes them into docs/reasons.md."""
PAGE = "docs/reasons.md"
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
