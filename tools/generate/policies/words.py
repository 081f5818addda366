"""What each key of the policy file means, and what breaks when it is set badly: section, key, sentence.

Units, limits, defaults and closed sets of words are not said here: the code that reads the file has them.
"""

from __future__ import annotations

from collections.abc import Mapping

FILE: Mapping[str, str] = {
    "": "Which alert may lead to which action on which object, and what must be true first.",
    "version": "Version of the file's form. Left out it is 1; a version that this program does not read is refused.",
    "identity": (
        "Matchers that an alert's labels must satisfy before any policy acts on it, usually an external label of "
        "this installation's Prometheus. Mandatory as soon as a policy is `approve` or `auto`: without it the "
        "right name in the wrong cluster would be acted on. A matcher that an alert without the label satisfies "
        "is refused."
    ),
    "dependencies": (
        "Name and question, true while that part is up. Policies name what they stand on; while it is down or "
        "unknown they hold. A question that is true too easily lets symptoms be repaired instead of the cause."
    ),
    "graph": (
        "Name of a dependency, and the dependencies that it has itself; policies inherit them. Left out, a "
        "policy waits only for what it names."
    ),
    "max_actions": (
        "Maximum number of writes by all policies together within `max_actions_seconds`. Too large lets one bad "
        "day restart everything in turn; too small leaves the fifth fault of an hour to people."
    ),
    "max_actions_seconds": "The time that `max_actions` counts over.",
    "budgets": (
        "Further limits, each for one target, action or policy by itself, or for all together; none by default."
    ),
    "freeze": "Times in which nothing is done by any policy; none by default.",
    "locks": (
        "Name and question, true while no pod may be stopped or started (a recovery or a backup runs). Unknown "
        "holds too; none by default."
    ),
    "storm": "When so many alerts arrive that no single repair can be the answer.",
    "breaker": "When repairs of one kind on one object have stopped helping.",
    "policies": "The policies; at least one.",
}
POLICY: Mapping[str, str] = {
    "name": (
        "The policy's name; an alert asks for it by its label `remediation`. It is also a metric's label. `none` "
        "is reserved for alerts that want no policy."
    ),
    "action": "What is done; one of the actions below.",
    "mode": (
        "How far the policy may go: `observe` decides and needs no right to write, `dry_run` sends its writes as "
        "dry runs, `approve` waits for a person's yes to the very plan (role `approve`, or the command line), "
        "`auto` acts. Where the API server does not refuse what no policy allows, `auto` waits like `approve`."
    ),
    "match": (
        "Alertmanager matchers by which alerts are found beside those that name the policy; for alerts that "
        "carry no `remediation` label. Two matchers that want different values of one label are refused: they "
        "never match."
    ),
    "targets": (
        "The only objects that may be touched. With several, the alert's labels `namespace` and `deployment` "
        "choose among them; labels that choose none or several hold (`not_allowed`)."
    ),
    "parameters": "The action's own settings, see below.",
    "condition": (
        "The question that must still be true when it is decided: the alert is only a hint. A condition that is "
        "true too easily acts on healthy parts; the remediation closes as `not_needed` when it is false."
    ),
    "verify": (
        "The question that proves the repair, asked of data collected after it. One that is true at once calls "
        "every repair a success; one that can never be true calls every repair a failure."
    ),
    "witnesses": (
        "Opinions independent of the exporter; at least one must confirm the fault. Required for actions that "
        "stop pods: an exporter that is cut off sees everything down."
    ),
    "dependencies": "Names of `dependencies` that must be up.",
    "cooldown_seconds": (
        "Least time between two writes of this policy to one target. Too small repeats a repair before the first "
        "could work; too large leaves the next fault to people. The next rung of a ladder does not wait."
    ),
    "budget_actions": "Maximum number of writes by this policy within `budget_seconds`, whatever their answer.",
    "budget_seconds": "The time that `budget_actions` counts over. Too small makes the budget none at all.",
    "verify_timeout_seconds": (
        "After this time without proof the outcome is `failed` or `unverified`. Below the time of a slow rollout "
        "every repair counts as failed and the breaker opens."
    ),
    "expires_seconds": (
        "A remediation that could not act within this time after its alert closes as `expired`. Too large acts on "
        "what nobody remembers. Must be longer than `retry_seconds`."
    ),
    "retry_seconds": (
        "Pause after a Hold until the facts are gathered again. Too small keeps the API server busy; too large "
        "acts late."
    ),
    "ladder": (
        "What follows, in order, when the action above is proven to have failed; after the last a person is needed."
    ),
    "schedule": "Times in which the policy may act; none means always.",
    "freeze": "Times in which this policy does nothing; none by default.",
    "guards": "Questions of your own that hold the policy; none by default.",
    "accept": (
        "Locks that you have looked at and accept for this policy. `unpinned_image`: a restart may install "
        "whatever the tag means by then. `changed_configuration`: it may put a half-made change into force. "
        "`unread_configuration`: nobody can tell whether it does. "
        "`replicas_owner`: without an autoscaler, whoever delivers the Deployment may set the replicas back."
    ),
    "connections": (
        "What each replica costs the database; for actions that start pods. Left out, nothing keeps new pods "
        "from taking the last connections."
    ),
    "human_quiet_seconds": (
        "Minimum quiet time after someone else changes the target; 0 switches this off, and then "
        "repairs interfere with people at work."
    ),
    "change_quiet_seconds": (
        "If the alert started within this time after the target changed, the change is assumed to be the cause and "
        "the remediation is held; 0 switches this off, and then a bad release is restarted instead of taken back."
    ),
    "approval_seconds": "How long a person's yes is good for. Too large acts on a decision of yesterday.",
}
RUNG: Mapping[str, str] = {
    "action": "What is done on this rung.",
    "parameters": "That action's own settings.",
    "targets": "The objects of this rung; left out, the policy's own.",
}
TARGET: Mapping[str, str] = {
    "namespace": "Its namespace; for what is no Kubernetes object, where it runs.",
    "kind": (
        "What it is. Only a `Deployment` and a `CronJob` are Kubernetes objects; of the other kinds the name is "
        "for people, and the address stands in `parameters` or in the program's settings."
    ),
    "name": "Its name. PostgreSQL and Redis are never accepted as workloads.",
}
QUERY: Mapping[str, str] = {
    "promql": (
        "PromQL that gives at most one sample: 0 is false, any other number true, no sample or several unknown. "
        "`ALERTS` is refused: it says what Prometheus thought, not what is."
    ),
    "collectors": (
        "The exporter's collectors behind the answer; it is as old as the oldest of them. One that is missing "
        "here can stand still without being noticed."
    ),
    "max_age_seconds": (
        "An answer older than this is unknown. Below twice the collectors' interval everything is held; too "
        "large acts on what was."
    ),
}
WITNESS: Mapping[str, str] = {
    "name": "Its name in decisions and stories.",
    "kind": (
        "`pods_ready` confirms the fault when no pod of the workload is Ready; `pods_running` when one is, for "
        "faults of something that runs (a number that does not fit, a cache that grows); `http` when a GET by the "
        "remediator itself gets no 2xx in time. `pods_running` for a part that is down would confirm the opposite."
    ),
    "url": "What `http` asks. The remediator's own network must reach it, else it confirms faults that are none.",
    "timeout_seconds": "How long it may take. Too small confirms faults of a slow part.",
}
GUARD: Mapping[str, str] = {
    "name": "Its name in decisions and stories.",
    "promql": "The question, to any exporter's metrics.",
    "hold_if": "Which answer holds: `nonempty`, when there is a sample, or `empty`, when there is none.",
    "reason": "The sentence that people read.",
    "collectors": "The exporter's collectors behind it; either these or `freshness`.",
    "freshness": (
        "PromQL whose value is the Unix time of the newest data behind it, for other people's exporters. Without "
        "one of the two, no answer and no data would look the same."
    ),
    "max_age_seconds": "Data older than this holds.",
}
CONNECTIONS: Mapping[str, str] = {
    "per_replica": "How many connections one replica opens at most. Too small lets new pods take the last ones.",
    "limit": "PromQL for the number of connections that the database accepts.",
    "collectors": "The exporter's collectors behind it.",
    "max_age_seconds": "A limit older than this is unknown, and holds.",
    "share": (
        "The part of the limit that all replicas together may use, with surge and pods on their way out. At 1 "
        "nothing is left for people."
    ),
}
BUDGET: Mapping[str, str] = {
    "scope": "What is counted: the writes on each `target`, of each `action` or `policy`, or of the whole `system`.",
    "most": "Maximum number of writes.",
    "seconds": "The time that `most` counts over.",
}
STORM: Mapping[str, str] = {
    "alerts": (
        "This number of new alerts within `window_seconds` is a storm. Too small holds on an ordinary outage, whose "
        "symptoms are many."
    ),
    "window_seconds": "The time that `alerts` counts over.",
    "cooldown_seconds": "How long nothing is done after the last moment of the storm.",
}
BREAKER: Mapping[str, str] = {
    "failures": (
        "This number of writes in a row without proven success opens the breaker of an action on a target. One "
        "that somebody else took back opens it alone."
    ),
    "close_seconds": "How long after the last of them it closes by itself. Too small tries the same again and again.",
}
WINDOW: Mapping[str, str] = {
    "name": "Its name in decisions and stories.",
    "timezone": "A zone of the IANA database, like Europe/Berlin; local times keep their meaning in summer.",
    "cron": (
        "Five fields (minute hour day month weekday) for when it begins, again and again; with `duration_seconds`."
    ),
    "duration_seconds": "How long it lasts.",
    "from": "When it begins, once: an ISO 8601 moment, local without an offset; with `to`.",
    "to": "When it ends.",
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "file": FILE,
    "policy": POLICY,
    "rung": RUNG,
    "target": TARGET,
    "query": QUERY,
    "witness": WITNESS,
    "guard": GUARD,
    "connections": CONNECTIONS,
    "budget": BUDGET,
    "storm": STORM,
    "breaker": BREAKER,
    "window": WINDOW,
}
