"""The faults of a tree of routes, with one finding for equal faults."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import BackendError, Reason, TransientError
from chassis.http.call import Call, Response
from remediations.commands.doctor.routes import (
    WATCHDOG,
    check_alertmanager,
    check_routes,
    judge_inhibitions,
    judge_routes,
)
from remediations.commands.doctor.rules import PolicyAlert
from remediations.settings import AlertmanagerSettings, RemediatorSettings
from tests.fakes.decisions import a_policy_set, restart_policy
from tests.fakes.installation import AskedHttp, a_place, found_by, told
from tests.unit.remediations.commands.doctor.test_route_tree import API_DOWN, a_tree

ALERTS = [PolicyAlert("restart-api", API_DOWN), PolicyAlert("scale-api", {**API_DOWN, "remediation": "scale-api"})]
RIGHT = "{receiver: rem, repeat_interval: 5m, continue: true}, {receiver: people}"
URL = "http://alertmanager:9093"


def judged(routes: str, alerts: Sequence[PolicyAlert] = ALERTS) -> list[tuple[str, str]]:
    tree = a_tree(routes)
    found = judge_routes("check", tree, alerts, URL)
    return [(item.problem.partition(":")[0], item.evidence) for item in found if "http_config" not in item.evidence]


def test_good_tree_has_no_finding() -> None:
    assert judged(RIGHT) == []


def test_policies_that_share_a_fault_share_the_finding() -> None:
    assert judged("{receiver: rem, repeat_interval: 5m}") == [
        (
            "alerts reach only the remediator, not people (`continue` leads to siblings, not to the root)",
            "receivers: rem; policies: restart-api, scale-api",
        )
    ]
    one = f"{{matchers: ['remediation=~\"none|scale-api\"'], {RIGHT[1:]}"
    assert judged(one) == [("alerts do not reach the remediator", "receivers: people; policies: restart-api")]


def test_route_that_takes_one_of_several_rules_of_a_name_only_is_told() -> None:
    severe = f"{{matchers: ['severity=critical'], {RIGHT[1:]}"
    assert judged(severe) == []
    mild = PolicyAlert("scale-api", {**API_DOWN, "severity": "warning"})
    assert judged(severe, [*ALERTS, mild]) == [
        ("alerts do not reach the remediator", "receivers: people; policies: scale-api")
    ]


def test_remedy_shows_the_fault_again() -> None:
    (found,) = judge_routes("check", a_tree("", "http://elsewhere/"), ALERTS[:1], URL)
    command = found.remedy.splitlines()[-1]
    assert command.startswith(f"amtool config routes test --alertmanager.url={URL} alertname=ControlCoreAPIDown ")


def test_route_that_repeats_too_seldom_or_is_muted_is_told() -> None:
    (seldom, muted) = judged("{receiver: rem, mute_time_intervals: [nights], continue: true}, {receiver: people}")
    assert "repeat_interval of receiver rem is 14400 s" in seldom[1]
    assert muted[1] == "time intervals of receiver rem: nights"


def test_receiver_without_a_credential_is_told() -> None:
    found = judge_routes("check", a_tree(RIGHT), ALERTS, URL)
    assert [(item.severity.value, item.evidence) for item in found] == [
        ("error", "receiver rem has no http_config for it")
    ]


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [
        ("{source_matchers: ['a=b'], target_matchers: ['severity=~\"critical|warning\"'], equal: [cluster]}", True),
        ("{source_matchers: ['a=b'], target_match: {severity: critical}}", True),
        ("{source_matchers: ['a=b'], target_matchers: ['severity=critical', 'remediation=none']}", False),
        ("{source_matchers: ['severity=critical'], target_matchers: ['severity=critical'], equal: [alertname]}", False),
    ],
)
def test_inhibition_of_alerts_that_ask_for_a_repair_is_told(rule: str, is_told: bool) -> None:  # noqa: FBT001
    tree = a_tree(RIGHT, more=f"inhibit_rules: [{rule}]")
    found = list(judge_inhibitions("check", tree, ALERTS))
    assert [item.severity.value for item in found] == ["warning"] * is_told
    assert all('remediation="none"' in item.remedy for item in found)


def a_status(peers: int = 0) -> bytes:
    config = (
        f"{{route: {{receiver: people, routes: [{RIGHT}]}},"
        " receivers: [{name: people, email_configs: [{}]}, {name: rem, webhook_configs: [{url: 'http://r/api/v1/alerts',"
        " http_config: {authorization: {}}}]}]}"
    )
    cluster: dict[str, Any] = {"status": "ready", "peers": [{"name": str(number)} for number in range(peers)]}
    return json.dumps({"config": {"original": config}, "cluster": cluster}).encode()


def a_place_with(answer: Any, **settings: Any) -> Any:
    place = AlertmanagerSettings(url=URL, **settings)
    return a_place(
        a_policy_set(restart_policy()), settings=RemediatorSettings(alertmanager=place), http=AskedHttp(answer)
    )


async def test_good_alertmanager_has_no_finding() -> None:
    place = a_place_with(lambda _: Response(200, a_status(), 0.0))
    assert await found_by(check_alertmanager, place) == []
    assert await found_by(check_routes, place) == []


async def test_cluster_with_more_members_than_the_settings_name_is_told() -> None:
    place = a_place_with(lambda _: Response(200, a_status(3), 0.0), more_urls=("http://other:9093",))
    (found,) = await found_by(check_alertmanager, place)
    assert (found.severity.value, found.evidence) == ("warning", "3 members, 2 addresses")


async def test_each_alertmanager_that_does_not_answer_is_told() -> None:
    def answer(call: Call) -> Any:
        return Response(401, b"", 0.0) if "other" in call.url else TransientError(Reason.REFUSED, "no")

    found = await found_by(check_alertmanager, a_place_with(answer, more_urls=("http://other:9093",)))
    assert [item.evidence.partition(": ")[0] for item in found] == [URL, "http://other:9093"]
    assert ["curl -si" in found[0].remedy, "basic_auth" in found[1].remedy] == [True, True]


async def test_server_that_knows_silences_and_shows_no_status_is_no_fault() -> None:
    def answer(call: Call) -> Response:
        return Response(200 if call.url.endswith("silences") else 404, b"[]", 0.0)

    assert await found_by(check_alertmanager, a_place_with(answer)) == []
    with pytest.raises(BackendError):
        await found_by(check_routes, a_place_with(answer))


async def test_own_credential_that_cannot_be_read_is_told_with_the_configuration(tmp_path: Path) -> None:
    auth = {"authorization": {"credentials_file": tmp_path / "none"}}
    assert told(await found_by(check_alertmanager, a_place_with(None, **auth))) == [("unknown", "not checked")]


async def test_without_alertmanager_that_is_the_finding() -> None:
    assert told(await found_by(check_alertmanager, a_place()))[0][0] == "warning"
    assert await found_by(check_routes, a_place()) == []


def test_watchdog_is_the_documented_one() -> None:
    assert a_tree(RIGHT).reached(WATCHDOG).own_routes


@pytest.mark.parametrize(
    "route", ["{receiver: rem, matchers: ['\"a.b\"=c']}", "{receiver: rem, match_re: {severity: '('}}"]
)
async def test_routes_that_only_alertmanager_can_read_are_unknown_and_it_is_well(route: str) -> None:
    status = a_status().replace(RIGHT.encode(), route.replace('"', '\\"').encode())
    place = a_place_with(lambda _: Response(200, status, 0.0))
    assert await found_by(check_alertmanager, place) == []
    (found,) = await found_by(check_routes, place)
    assert (found.severity.value, found.remedy.startswith("amtool config routes test")) == ("unknown", True)
