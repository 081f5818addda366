from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core.intake import (
    MAX_ANNOTATION_CHARACTERS,
    MAX_ANNOTATIONS,
    MAX_LABEL_BYTES,
    MAX_RAW_CHARACTERS,
    Deduplication,
    PayloadError,
    content_of,
    match_alerts,
    parse_payload,
)
from remediations.core.model.alert import Alert
from remediations.core.model.names import DOCTOR, OWN_ALERTS
from remediations.core.policies.matchers import parse_matchers
from tests.fakes.decisions import API, LABELS, a_policy_set, restart_policy


def an_alert(**changes: Any) -> dict[str, Any]:
    """One alert as Alertmanager 0.25 sends it."""
    return {
        "status": "firing",
        "labels": dict(LABELS),
        "annotations": {"summary": "down"},
        "startsAt": "2026-11-23T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "f00d",
    } | changes


def a_body(*alerts: Any, **changes: Any) -> bytes:
    whole = {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "remediator",
        "alerts": list(alerts),
    }
    return json.dumps(whole | changes).encode()


def test_good_payload_gives_its_alerts():
    (alert,) = parse_payload(a_body(an_alert())).alerts

    assert (alert.fingerprint, alert.name, alert.is_firing) == ("f00d", "ControlCoreApiDown", True)
    assert alert.labels == LABELS
    assert alert.annotations == {"summary": "down"}
    assert alert.starts_at == "2026-11-23T10:00:00Z"


def test_fields_of_a_newer_alertmanager_are_ignored():
    """0.32.3 and later send notification_reason."""
    payload = parse_payload(a_body(an_alert(new="field"), notification_reason="group_wait"))

    assert len(payload.alerts) == 1
    assert payload.quarantined == ()


@pytest.mark.parametrize("name", sorted(OWN_ALERTS))
def test_what_we_sent_ourselves_is_counted_and_left_out(name: str):
    """Whatever a policy's matchers say: a hold that began a remediation would announce itself endlessly."""
    echo = an_alert(labels={**LABELS, "alertname": name})
    payload = parse_payload(a_body(echo, an_alert()))

    assert (payload.own, [alert.name for alert in payload.alerts]) == (1, ["ControlCoreApiDown"])
    assert match_alerts(payload, a_policy_set(), 0.0).unmatched == 0


def test_alert_of_doctor_is_known_by_its_start_and_begins_nothing():
    """Whatever its other labels: not even a policy's label makes it an alert for a policy."""

    def one(starts_at: str, **changes: Any) -> dict[str, Any]:
        return an_alert(labels={**LABELS, "alertname": DOCTOR}, startsAt=starts_at, **changes)

    sent = "2026-11-29T08:30:00.125Z"
    payload = parse_payload(a_body(one("2026-11-29T08:20:00Z"), one(sent), one("?"), one(sent, status="resolved")))
    assert (payload.own, payload.alerts, payload.doctor_at) == (4, (), 1795941000.125)
    assert match_alerts(payload, a_policy_set(), 0.0).matches == ()
    assert parse_payload(a_body(one(sent, status="resolved"))).doctor_at is None
    assert parse_payload(a_body(an_alert())).doctor_at is None


def test_each_alert_speaks_for_itself_whatever_the_top_level_status_says():
    payload = parse_payload(a_body(an_alert(), an_alert(status="resolved", fingerprint="b"), status="firing"))

    assert [alert.is_firing for alert in payload.alerts] == [True, False]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "broken"}, "$.status"),
        ({"labels": {"alertname": 7}}, "$.labels"),
        ({"labels": None}, "$.labels"),
        ({"fingerprint": ""}, "$.fingerprint"),
        ({"annotations": []}, "$.annotations"),
    ],
)
def test_malformed_alert_is_quarantined_and_its_neighbours_are_kept(changes, field):
    payload = parse_payload(a_body(an_alert(), an_alert(**changes), an_alert(fingerprint="b")))

    assert [alert.fingerprint for alert in payload.alerts] == ["f00d", "b"]
    (piece,) = payload.quarantined
    assert field in piece.problem
    assert json.loads(piece.raw)["generatorURL"] == "http://prometheus/graph"


@pytest.mark.parametrize("alert", [7, None, "text", [], {}])
def test_alert_of_another_shape_is_quarantined(alert):
    payload = parse_payload(a_body(alert, an_alert()))

    assert (len(payload.alerts), len(payload.quarantined)) == (1, 1)


def test_oversized_alert_is_quarantined_and_what_is_kept_of_it_is_bounded():
    payload = parse_payload(a_body(an_alert(labels={"a": "é" * MAX_LABEL_BYTES}), an_alert()))

    assert len(payload.alerts) == 1
    (piece,) = payload.quarantined
    assert piece.problem == f"labels larger than {MAX_LABEL_BYTES} bytes"
    assert len(piece.raw) <= MAX_RAW_CHARACTERS


def test_alert_with_bytes_that_are_no_text_is_quarantined():
    body = a_body(an_alert(), an_alert(fingerprint="BROKEN")).replace(b"BROKEN", b"\xff\xfe")

    payload = parse_payload(body)

    assert (len(payload.alerts), len(payload.quarantined)) == (1, 1)


def test_body_nested_without_end_is_refused():
    deep = b"[" * 100_000 + b"]" * 100_000

    with pytest.raises(PayloadError, match="not JSON"):
        parse_payload(a_body(an_alert(labels="DEEP")).replace(b'"DEEP"', deep))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"version": "4", "alerts": [', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b'{"alerts": []}', "version"),
        (b'{"version": "4"}', "alerts"),
        (b'{"version": "4", "alerts": {}}', "$.alerts"),
        (b'{"version": 4, "alerts": []}', "$.version"),
        (b'{"version": "5", "alerts": []}', 'version: expected "4", got "5"'),
        (b'{"version": "4", "alerts": [], "truncatedAlerts": "x"}', "$.truncatedAlerts"),
    ],
)
def test_body_that_can_never_be_accepted_names_the_field(body, words):
    with pytest.raises(PayloadError) as caught:
        parse_payload(body)

    assert words in str(caught.value)


def test_truncated_alerts_are_told():
    assert parse_payload(a_body(an_alert(), truncatedAlerts=17)).truncated == 17


@pytest.mark.parametrize("name", ["ControlCoreWatchdog", "Watchdog"])
def test_watchdog_is_seen_while_it_fires_by_its_old_name_too(name: str):
    firing = an_alert(labels={"alertname": name})

    assert parse_payload(a_body(firing)).has_watchdog
    assert not parse_payload(a_body(firing | {"status": "resolved"})).has_watchdog
    assert not parse_payload(a_body(an_alert())).has_watchdog


def test_alert_is_matched_by_its_remediation_label_and_by_matchers():
    policy_set = a_policy_set(restart_policy(), restart_policy(name="other", match=a_policy_set().identity))

    delivery = match_alerts(parse_payload(a_body(an_alert())), policy_set, 5.0)

    assert [(match.policy, match.target) for match in delivery.matches] == [("restart-api", API), ("other", API)]
    assert (delivery.received_at, delivery.unmatched) == (5.0, 0)


def test_alert_of_no_policy_is_counted_as_unmatched():
    payload = parse_payload(a_body(an_alert(labels={"alertname": "X"}), an_alert(labels={"remediation": "none"})))

    delivery = match_alerts(payload, a_policy_set(restart_policy()), 5.0)

    assert (delivery.matches, delivery.unmatched) == ((), 2)


HOSTILE = [
    '"} or vector(1)',
    "../../kube-system",
    "ld_preload",
    "a\nb",
    "\x00",
    "$(reboot)",
    "\u0441ontrol-plane-api",
    "x" * 10_000,
]


@given(labels=st.dictionaries(st.text(max_size=30), st.text(max_size=60) | st.sampled_from(HOSTILE), max_size=6))
def test_no_label_selects_an_object_that_the_policy_does_not_list(labels):
    """A target outside the list is one that no Kubernetes name can equal, or one that the allow-list guard refuses."""
    labels = {**labels, "remediation": "restart-api"}
    text = {name: value for name, value in labels.items() if not any(0xD800 <= ord(c) < 0xE000 for c in name + value)}

    delivery = match_alerts(parse_payload(a_body(an_alert(labels=text))), a_policy_set(restart_policy()), 5.0)

    (match,) = delivery.matches
    is_contradicted = text.get("namespace") not in {None, "", API.namespace} or text.get("deployment") not in {
        None,
        "",
        API.name,
    }
    assert (match.target in restart_policy().targets) is not is_contradicted
    assert match.target.kind == "Deployment"


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_gives_anything_but_a_payload_or_a_payload_error(body):
    try:
        payload = parse_payload(body)
    except PayloadError:
        return
    assert isinstance(payload.alerts, tuple)


def test_content_is_the_same_whatever_replica_sent_it_and_whenever_it_began():
    first = Alert("f1", "Down", True, {"alertname": "Down", "prometheus_replica": "a"}, {}, "2026-01-01T00:00:07Z")
    other = Alert("f2", "Down", True, {"prometheus_replica": "b", "alertname": "Down"}, {}, "2026-01-01T00:00:00Z")
    names = Deduplication().replica_labels

    assert content_of(first, names) == content_of(other, names)
    assert content_of(first, frozenset()) != content_of(other, frozenset())


def test_content_of_another_alert_differs():
    names = Deduplication().replica_labels
    contents = {content_of(Alert("f", "", True, labels), names) for labels in ({"a": "b"}, {"a": "c"}, {"ab": ""}, {})}

    assert len(contents) == 4


def test_annotation_of_any_length_is_cut_and_the_alert_is_kept():
    """R12: no decision reads an annotation, so none costs a repair."""
    long = {f"a{number:03}": "é" * 70_000 for number in range(50)}
    payload = parse_payload(a_body(an_alert(annotations=long)))

    assert payload.quarantined == ()
    (alert,) = payload.alerts
    assert alert.labels == LABELS
    assert len(alert.annotations) == MAX_ANNOTATIONS
    assert {len(value) for value in alert.annotations.values()} == {MAX_ANNOTATION_CHARACTERS}


def test_long_label_is_kept_whole():
    """R12: labels say what the alert is."""
    labels = LABELS | {"instance": "x" * 40_000}
    (alert,) = parse_payload(a_body(an_alert(labels=labels))).alerts
    assert alert.labels == labels


def test_body_of_countless_empty_alerts_is_refused():
    """S5: 16 MiB of them would become half a gigabyte."""
    with pytest.raises(PayloadError, match="max_alerts"):
        parse_payload(b'{"version":"4","alerts":[' + b"{}," * 200_000 + b"{}]}")


def test_count_of_left_out_alerts_without_measure_is_bounded():
    """L9."""
    body = b'{"version": "4", "alerts": [], "truncatedAlerts": ' + b"9" * 400 + b"}"
    assert parse_payload(body).truncated == 1_000_000_000


def test_alert_that_a_policys_expression_cannot_be_applied_to_is_quarantined():
    """R1: the operator's own expression stops nothing either."""
    (own,) = parse_matchers('instance=~"((a|b|ab)*){1,200}#"')
    policy_set = a_policy_set(replace(restart_policy(), match=(own,)))
    long = an_alert(labels={"alertname": "x", "instance": "ab" * 30_000})
    delivery = match_alerts(parse_payload(a_body(long, an_alert())), policy_set, 1.0)
    (piece,) = delivery.quarantined
    assert "too large for a label value of 60000 bytes" in piece.problem
