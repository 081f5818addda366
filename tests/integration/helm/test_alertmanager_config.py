"""The AlertmanagerConfig object, laid out as the Prometheus operator does, tried by the real amtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediations.shipped import read_policies
from tests.fakes.chart import rendered
from tools.chart import CHART, Manifest, find_object
from tools.servers.versions import Generation

PEOPLE = {"webhookConfigs": [{"url": "https://pager.example.com/"}]}
API_DOWN = ("alertname=ControlCoreAPIDown", "remediation=restart-api", "namespace=controlcore")
HELD = ("alertname=RemediationHeld", "namespace=controlcore")
GUIDE = ("alertname=HighCPUUsage", "namespace=controlcore")
WATCHDOG = ("alertname=ControlCoreWatchdog", "remediation=none", "severity=none", "namespace=controlcore")
FOREIGN = ("alertname=KubePodCrashLooping", "namespace=controlcore")

pytestmark = pytest.mark.timeout(60)


def config(**values: Any) -> Manifest:
    """The object with these values of `alertmanagerConfig`."""
    given = {"remediator": {"tokenSecret": {"name": "webhook"}}, "alertmanagerConfig": {"enabled": True, **values}}
    return find_object(rendered(given), "AlertmanagerConfig", "controlcore-remediator")


def merged(item: Manifest, *, is_on_namespace: bool = True) -> str:
    """Alertmanager's configuration as the operator makes it: the object's route is first, and it continues."""
    route = plain(item["spec"]["route"])
    route["continue"] = True
    if is_on_namespace:
        route["matchers"] = ['namespace="controlcore"', *route.get("matchers", ())]
    receivers = [{"name": each["name"]} for each in item["spec"]["receivers"]]
    whole = {
        "route": {"receiver": "root", "routes": [route, {"receiver": "base", "matchers": ['team="base"']}]},
        "receivers": [{"name": "root"}, {"name": "base"}, *receivers],
    }
    return yaml.safe_dump(whole, sort_keys=False)


def plain(route: dict[str, Any]) -> dict[str, Any]:
    """A route in the words of Alertmanager's own file."""
    known = {"groupBy": "group_by", "groupWait": "group_wait", "groupInterval": "group_interval"}
    made: dict[str, Any] = {}
    for key, value in route.items():
        if key == "matchers":
            made[key] = [f'{each["name"]}{each["matchType"]}"{each["value"]}"' for each in value]
        elif key == "routes":
            made[key] = [plain(child) for child in value]
        else:
            made[known.get(key, "repeat_interval" if key == "repeatInterval" else key)] = value
    return made


def receivers_of(text: str, folder: Path, *labels: str) -> str:
    """What amtool says."""
    (folder / "alertmanager.yml").write_text(text, encoding="utf-8")
    amtool = str(Generation.PINNED.locate("amtool"))
    command = [amtool, "config", "routes", "test", "--config.file", "alertmanager.yml", *labels]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    return ended.stdout.strip()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (API_DOWN, "controlcore-remediator,people"),
        (GUIDE, "controlcore-remediator,people"),
        (HELD, "people"),
        (WATCHDOG, "controlcore-remediator"),
        (FOREIGN, "root"),
        (("alertname=ControlCoreAPIDown", "remediation=restart-api"), "root"),
    ],
)
def test_alert_reaches_people_and_the_remediator(labels: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    assert receivers_of(merged(config(people=PEOPLE)), tmp_path, *labels) == expected


def test_alert_without_the_namespace_passes_where_the_strategy_is_none(tmp_path: Path) -> None:
    text = merged(config(people=PEOPLE), is_on_namespace=False)
    labels = ("alertname=ControlCoreExporterAbsent", "remediation=none")
    assert receivers_of(text, tmp_path, *labels) == "controlcore-remediator,people"


def test_without_people_the_routes_of_the_base_still_follow(tmp_path: Path) -> None:
    text = merged(config())
    assert receivers_of(text, tmp_path, *API_DOWN) == "controlcore-remediator"
    assert receivers_of(text, tmp_path, *API_DOWN, "team=base") == "controlcore-remediator,base"


def test_every_alert_and_every_match_of_a_policy_is_taken() -> None:
    """A new alert or match without a route in the object would reach no receiver."""
    route = config()["spec"]["route"]
    (name,) = route["matchers"]
    files = sorted((CHART / "files" / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert {alert for alert in alerts if not re.fullmatch(name["value"], alert)} == set()
    guide = route["routes"][1]["matchers"][0]["value"].split("|")
    matches = re.findall(r'^ +- alertname="(\w+)"', read_policies(), flags=re.MULTILINE)
    assert sorted(guide) == sorted(matches)


def test_token_and_trust_come_from_the_values() -> None:
    trust = {"ca": {"secret": {"name": "ca", "key": "ca.crt"}}}
    item = config(labels={"alertmanager": "main"}, tlsConfig=trust)
    (receiver,) = item["spec"]["receivers"]
    (webhook,) = receiver["webhookConfigs"]
    assert webhook["url"] == "http://controlcore-remediator.controlcore:9878/api/v1/alerts"
    authorization = {"type": "Bearer", "credentials": {"name": "webhook", "key": "token"}}
    assert webhook["httpConfig"] == {"authorization": authorization, "tlsConfig": trust}
    assert item["metadata"]["labels"]["alertmanager"] == "main"
    assert item["metadata"]["namespace"] == "controlcore"
