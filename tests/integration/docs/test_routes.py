"""Every Alertmanager route that a document prints reaches people and the remediator, on the real programs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.printed_routes import PrintedRoute, find_in, find_routes
from tests.fakes.waiting import wait_for
from tests.fakes.webhook_receiver import names_of, receive
from tools.chart import notes
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.versions import Generation

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "helm" / "controlcore-exporter" / "README.md",
]
ROUTES = [route for page in PAGES for route in find_in(page)]
REMEDIATOR, PEOPLE = "controlcore-remediator", "people"
API_DOWN = {"alertname": "ControlCoreAPIDown", "remediation": "restart-api", "severity": "critical"}
WATCHDOG = {"alertname": "ControlCoreWatchdog", "remediation": "none", "severity": "none"}
STACK_WATCHDOG = {"alertname": "Watchdog", "severity": "none"}
HELD = {"alertname": "RemediationHeld", "severity": "warning"}

pytestmark = pytest.mark.timeout(60)


def from_notes() -> PrintedRoute:
    """The tree that Helm prints after an installation."""
    (route,) = find_routes(notes({"remediator": {"tokenSecret": {"name": "controlcore-webhook"}}}), "NOTES.txt")
    return route


def place(route: PrintedRoute) -> str:
    """Where it is printed."""
    return route.place


def run_checks(route: PrintedRoute, folder: Path, generation: Generation) -> None:
    """Runs each line that the document prints for this tree."""
    (folder / "alertmanager.yml").write_text(route.configuration, encoding="utf-8")
    assert route.checks, f"{route.place}: no line to check it"
    for check in route.checks:
        command = [str(generation.locate("amtool")), *check.arguments]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
        assert (ended.returncode, ended.stdout.strip()) == (0, check.prints), f"{route.place}: {ended.stderr}"


def reaches_both(route: PrintedRoute) -> bool:
    """Whether some line of this tree promises the remediator and a receiver for people."""
    answers = [check.prints.split(",") for check in route.checks]
    return any(REMEDIATOR in answer and len(answer) > 1 for answer in answers)


def test_readme_and_docs_print_routes() -> None:
    assert {route.place.partition(":")[0] for route in ROUTES} >= {"README.md", "alertmanager.md"}


@pytest.mark.parametrize("generation", list(Generation), ids=lambda each: each.value)
@pytest.mark.parametrize("route", ROUTES, ids=place)
def test_printed_route_gives_the_printed_answer(route: PrintedRoute, generation: Generation, tmp_path: Path) -> None:
    run_checks(route, tmp_path, generation)
    assert reaches_both(route)


def test_route_of_the_chart_gives_the_printed_answer(tmp_path: Path) -> None:
    route = from_notes()
    run_checks(route, tmp_path, Generation.PINNED)
    assert reaches_both(route)


def test_route_without_the_sibling_is_refused_by_the_printed_line(tmp_path: Path) -> None:
    """The fault that this is about: with `continue: true` alone the root's receiver is not used."""
    (route, *_) = find_in(ROOT / "README.md")
    whole = yaml.safe_load(route.configuration)
    whole["route"]["routes"] = whole["route"]["routes"][:1]
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    command = [str(Generation.PINNED.locate("amtool")), *route.checks[0].arguments]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stdout.strip().splitlines()[0] == REMEDIATOR


def served(route: PrintedRoute, urls: dict[str, str]) -> str:
    """The printed tree with addresses of this machine, without its first waiting times; receivers by name or silent."""
    whole = yaml.safe_load(route.configuration)
    whole["route"] |= {"group_wait": "0s", "group_interval": "1h"}
    for child in whole["route"]["routes"]:
        child["group_wait"] = "0s"
    for each in whole["receivers"]:
        each["webhook_configs"] = [{"url": urls[each["name"]], "max_alerts": 0}] if each["name"] in urls else []
    return yaml.safe_dump(whole)


@pytest.mark.parametrize("route", [route for route in ROUTES if "name: pager" not in route.configuration], ids=place)
def test_people_hear_of_a_page_at_once_while_the_watchdogs_fire(route: PrintedRoute) -> None:
    """In one group with an alert that always fires, a page would wait for the group interval."""
    people: list[dict[str, Any]] = []
    remediator: list[dict[str, Any]] = []
    with (
        receive(people) as people_url,
        receive(remediator) as remediator_url,
        AlertmanagerServer(served(route, {PEOPLE: people_url, REMEDIATOR: remediator_url})) as server,
    ):
        always = [WATCHDOG, STACK_WATCHDOG] if 'name: "null"' in route.configuration else [WATCHDOG]
        server.post_alerts([{"labels": labels} for labels in always])
        wait_for(lambda: "ControlCoreWatchdog" in names_of(remediator), describe=lambda: remediator)
        server.post_alerts([{"labels": API_DOWN}, {"labels": HELD}])
        wait_for(lambda: {"ControlCoreAPIDown", "RemediationHeld"} <= set(names_of(people)), describe=lambda: people)
        wait_for(lambda: "ControlCoreAPIDown" in names_of(remediator), describe=lambda: remediator)
    assert "RemediationHeld" not in names_of(remediator)
    assert not {"ControlCoreWatchdog", "Watchdog"} & set(names_of(people))
