"""Who gets an alert by a configuration of Alertmanager, as its API shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.errors import PermanentError
from remediations.commands.doctor.route_tree import HIDDEN, AlertReceiver, RouteTree, read_tree, walk
from tests.fakes.printed_routes import find_in

ROOT = Path(__file__).parents[5]
OWN = "http://remediator:9878/api/v1/alerts"
API_DOWN = {"alertname": "ControlCoreAPIDown", "remediation": "restart-api", "severity": "critical"}


def a_tree(routes: str = "", webhook: str = OWN, more: str = "") -> RouteTree:
    """A root for people, these child routes, and a receiver `rem` with this webhook."""
    return read_tree(
        f"""
route: {{receiver: people, group_wait: 10s, routes: [{routes}]}}
receivers:
  - name: people
    email_configs: [{{to: ops@example.com}}]
  - name: rem
    webhook_configs: [{{url: {webhook!r}}}]
  - name: "null"
{more}
"""
    )


@pytest.mark.parametrize(
    ("routes", "receivers", "own", "people"),
    [
        ("", ("people",), False, 1),
        ("{receiver: rem, matchers: ['remediation!=\"\"']}", ("rem",), True, 0),
        ("{receiver: rem, matchers: ['remediation!=\"\"'], continue: true}", ("rem",), True, 0),
        ("{receiver: rem, continue: true}, {receiver: people}", ("rem", "people"), True, 1),
        ("{receiver: rem}, {receiver: people}", ("rem",), True, 0),
        ("{receiver: rem, continue: true}, {receiver: 'null'}", ("rem", "null"), True, 0),
        ("{receiver: rem, matchers: ['remediation=\"none\"']}", ("people",), False, 1),
        ("{receiver: rem, match: {remediation: restart-api}}", ("rem",), True, 0),
        ("{receiver: rem, match_re: {remediation: restart-.*}}", ("rem",), True, 0),
        ("{receiver: rem, match_re: {remediation: restart}}", ("people",), False, 1),
        ("{matchers: ['severity=critical'], routes: [{receiver: rem}]}", ("rem",), True, 0),
        ("{matchers: 'severity=critical', routes: [{receiver: rem, match: {a: b}}]}", ("people",), False, 1),
        ("{receiver: rem, continue: true, routes: [{receiver: 'null'}]}, {}", ("null", "people"), False, 1),
    ],
)  # fmt: skip
def test_walk_is_alertmanagers(routes: str, receivers: tuple[str, ...], own: bool, people: int) -> None:  # noqa: FBT001
    reached = a_tree(routes).reached(API_DOWN)
    assert (reached.receivers, bool(reached.own_routes), reached.people) == (receivers, own, people)


def test_every_printed_tree_reaches_the_remediator_and_people() -> None:
    for page in ("README.md", "docs/alertmanager.md"):
        for route in find_in(ROOT / page):
            reached = read_tree(route.configuration).reached(API_DOWN)
            assert reached.own_routes, route.place
            assert reached.people, route.place


def test_times_are_inherited_and_default_to_alertmanagers() -> None:
    tree = a_tree("{receiver: rem, repeat_interval: 1h30m, routes: [{receiver: rem, group_interval: 500ms}]}")
    (route,) = walk(tree.root, API_DOWN)
    assert (route.group_wait_seconds, route.group_interval_seconds, route.repeat_interval_seconds) == (
        10.0,
        0.5,
        5400.0,
    )
    assert a_tree().root.repeat_interval_seconds == 4 * 3600


@pytest.mark.parametrize(
    ("webhook", "name", "own"),
    [
        (OWN, "x", {"x"}),
        (f"{OWN}/", "x", {"x"}),
        ("http://remediator:9878/", "x", set()),
        (HIDDEN, "x", {"x", "chat"}),
        (HIDDEN, "controlcore/controlcore-remediator/webhook", {"controlcore/controlcore-remediator/webhook"}),
    ],
)
def test_own_receiver_is_found_by_address_or_while_that_is_hidden_by_name(
    webhook: str, name: str, own: set[str]
) -> None:
    chat = AlertReceiver("chat", (HIDDEN,) if webhook == HIDDEN else ("http://chat/",))
    tree = RouteTree(a_tree().root, {name: AlertReceiver(name, (webhook,)), "chat": chat})
    assert tree.own() == own


def test_one_receiver_may_send_to_the_remediator_and_to_people() -> None:
    both = AlertReceiver("people", (OWN,), ("email",))
    assert RouteTree(a_tree().root, {"people": both}).reached(API_DOWN).people == 1


@pytest.mark.parametrize(
    ("http_config", "has_credential"),
    [
        ("{}", False),
        ("{authorization: {credentials: <secret>}}", True),
        ("{basic_auth: {username: a}}", True),
        ("{tls_config: {ca_file: a}}", False),
        ("{tls_config: {cert_file: a}}", True),
    ],
)
def test_credential_of_a_webhook_is_seen(http_config: str, has_credential: bool) -> None:  # noqa: FBT001
    one = f"{{name: own, webhook_configs: [{{url: x, http_config: {http_config}}}]}}"
    tree = read_tree(f"{{route: {{receiver: own}}, receivers: [{one}]}}")
    assert tree.receivers["own"].has_credential is has_credential
    everywhere = read_tree(
        f"{{global: {{http_config: {http_config}}}, route: {{}}, receivers: [{{name: own, webhook_configs: [{{}}]}}]}}"
    )
    assert (everywhere.receivers["own"].has_credential, everywhere.receivers["own"].webhooks) == (
        has_credential,
        (HIDDEN,),
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "route: 7", "receivers: []", "a: [", "route: {matchers: ['x']}", "route: {routes: 1}"]
)
def test_what_is_no_configuration_is_malformed(text: str) -> None:
    with pytest.raises(PermanentError):
        read_tree(text)


def test_matcher_that_cannot_be_read_is_told_with_its_text() -> None:
    with pytest.raises(PermanentError, match="a matcher of Alertmanager's routes: expected"):
        read_tree("route: {matchers: ['\"a.b\"=c']}")


def test_of_several_receivers_that_may_be_the_remediators_one_is_for_people() -> None:
    hidden = {name: AlertReceiver(name, (HIDDEN,)) for name in ("people", "rem")}
    reached = RouteTree(a_tree("{receiver: rem, continue: true}, {receiver: people}").root, hidden).reached(API_DOWN)
    assert (len(reached.own_routes), reached.people) == (2, 1)
