"""The configuration files of a stage: Prometheus, Alertmanager, our two programs, the policies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.collectors.kubernetes.workloads import WorkloadsSettings
from tools.rules.time_scale import divide_rules

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "rules"
POLICIES = ROOT / "remediations" / "shipped" / "policies.yaml"
CLUSTER_NAME = "demo"
DURATIONS = {
    "cooldown_seconds": 900.0,
    "budget_seconds": 3600.0,
    "retry_seconds": 15.0,
    "verify_timeout_seconds": 600.0,
}
"""The policies' waits that run at the stage's pace, with the default if the shipped file has no value."""

PLAYED = ("restart-api", "scale-api", "update-policies")
"""The shipped policies whose targets are on the stage."""
OPAL_CLIENT_PLACEHOLDER = "http://opal-client.invalid:7000"
"""The address in the shipped file that every user must set; here the stage does."""
DEMO_TERMS = {
    "human_quiet_seconds": 0,
    "change_quiet_seconds": 0,
    "accept": ["changed_configuration", "unread_configuration"],
}
"""The stage itself deploys the product minutes before the first fault; elsewhere that would count as a person's
change.
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much faster than printed everything runs: rules, scrapes, collections and the policies' waits."""

    factor: float = 12.0
    patience: float = 1.0
    """How much longer a request may take than the exporter's defaults allow: a slow machine answers late."""

    def seconds(self, printed: float, *, least: float = 1.0) -> float:
        """A printed time at this pace, but not below `least`."""
        return max(least, printed / self.factor)


def rule_files(pace: Pace) -> dict[str, str]:
    """The shipped rule files by name, through the one transform that divides their windows."""
    files = {}
    for path in sorted(RULES.glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        files[f"rules/{path.name}"] = text if pace.factor == 1 else divide_rules(text, pace.factor)
    return files


def prometheus_files(pace: Pace, targets: dict[str, str], alertmanager: str) -> dict[str, str]:
    """prometheus.yml with one job for each target, and the rules."""
    interval = f"{int(pace.seconds(15) * 1000)}ms"
    configuration = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
            "external_labels": {"cluster": CLUSTER_NAME},
        },
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    return {"prometheus.yml": yaml.safe_dump(configuration, sort_keys=False), **rule_files(pace)}


def alertmanager_configuration(pace: Pace, webhook_url: str, token_path: Path) -> str:
    """One route to the remediator, as the README recommends it, at this pace."""
    route = {
        "receiver": "controlcore-remediator",
        "group_by": ["alertname"],
        "group_wait": f"{int(pace.seconds(5) * 1000)}ms",
        "group_interval": f"{int(pace.seconds(30) * 1000)}ms",
        "repeat_interval": f"{int(pace.seconds(300) * 1000)}ms",
    }
    webhook = {
        "url": webhook_url,
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {"authorization": {"type": "Bearer", "credentials_file": str(token_path)}},
    }
    receivers = [{"name": "controlcore-remediator", "webhook_configs": [webhook]}]
    return yaml.safe_dump({"route": route, "receivers": receivers}, sort_keys=False)


def demo_policies(pace: Pace, opal_client_url: str, *, mode: str = "auto") -> str:
    """The shipped policies in this mode, bound to the demo's cluster, with their waits at this pace."""
    text = POLICIES.read_text(encoding="utf-8").replace(OPAL_CLIENT_PLACEHOLDER, opal_client_url)
    document = yaml.safe_load(text)
    document["identity"] = [f'cluster="{CLUSTER_NAME}"']
    document["policies"] = [policy for policy in document["policies"] if policy["name"] in PLAYED]
    for policy in document["policies"]:
        policy["mode"] = mode
        policy.update(DEMO_TERMS)
        for name, printed in DURATIONS.items():
            policy[name] = pace.seconds(policy.get(name, printed))
    return yaml.safe_dump(document, sort_keys=False)


def collector_settings(pace: Pace) -> dict[str, Any]:
    """Intervals of the fast collectors at this pace, none below a second, and the patience of the slowest one.

    A workload whose usage is answered too late has none, and an alert about it starts again.
    """
    names = ("api", "postgres_canary", "redis", "policy", "workloads", "decisions")
    settings: dict[str, dict[str, Any]] = {name: {"interval_seconds": pace.seconds(10)} for name in names}
    usual = WorkloadsSettings()
    settings["workloads"] |= {
        "timeout_seconds": usual.timeout_seconds * pace.patience,
        "request_timeout_seconds": usual.request_timeout_seconds * pace.patience,
    }
    return settings
