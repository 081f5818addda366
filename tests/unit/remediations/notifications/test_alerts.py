"""The alerts of a remediation, and their content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core.model.alert import Mode, Target
from remediations.core.model.names import ANNOUNCEMENTS
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import State
from remediations.notifications.alerts import AnnouncedAlert, AnnouncementForm, announce, to_wire
from tests.fakes.decisions import NOW, an_alert, restart_policy
from tests.fakes.notifications import a_hold, a_verdict, a_write, an_act, told

LEAST = 600.0


def found(*records, extra=None, command="controlcore-remediator", **changes):
    return announce(told(*records, **changes), AnnouncementForm(extra or {}, LEAST, command))


def labels(standing: AnnouncedAlert) -> dict[str, str]:
    return dict(standing.labels)


def test_hold_says_what_why_and_how_to_stop_it():
    (standing,) = found(a_hold(0), extra={"cluster": "demo"})
    assert labels(standing) == {
        "alertname": "RemediationHeld",
        "severity": "warning",
        "policy": "restart-api",
        "mode": "auto",
        "reason": "dependency_down",
        "namespace": "control-core",
        "kind": "Deployment",
        "name": "control-plane-api",
        "cluster": "demo",
    }
    assert (standing.starts_at, standing.ends_at) == (NOW, None)
    texts = standing.annotations
    assert texts["summary"] == "Repair held by policy restart-api on Deployment/control-core/control-plane-api"
    assert texts["description"] == "dependency_down: database down"
    assert (texts["alert"], texts["remediation_id"]) == ("ControlCoreApiDown", "0001")
    for way in (
        "pause --policy restart-api --reason WHY",
        "pause --all --reason WHY",
        "a silence of ControlCoreApiDown",
    ):
        assert way in texts["stop"]
    assert texts["help"].endswith("(docs/reasons.md#dependency_down)")
    assert not {"approve", "reject"} & texts.keys()


def test_commands_begin_as_people_call_the_program():
    command = "kubectl -n cc exec deploy/controlcore-remediator -- controlcore-remediator"
    (standing,) = found(a_hold(0, "approval", proposal={"action": "restart_workload"}), command=command)
    texts = standing.annotations
    assert texts["show"] == f"{command} show 0001"
    assert texts["stop"].startswith(f"this policy: {command} pause --policy restart-api ")
    assert texts["approve"].startswith(f"{command} approve 0001 ")
    assert texts["reject"] == f"{command} reject 0001"


@pytest.mark.parametrize("link", ["https://wiki.example.com/runbooks/ControlCoreApiDown.md", "/d/controlcore-health"])
def test_announcement_has_the_links_of_its_alert(link: str):
    alert = an_alert(annotations={"runbook_url": link, "dashboard_url": link, "summary": "the API is down"})
    for records in ((a_hold(0),), (an_act(0),), (an_act(0), a_write(1))):
        (standing,) = found(*records, alert=alert)
        assert (standing.annotations["runbook_url"], standing.annotations["dashboard_url"]) == (link, link)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "javascript:alert(1)",
        "see the wiki",
        "https://example.com/\u202e",
        "https://example.com/<b>",
        "https://example.com/" + "a" * 600,
        "https://ann:hunter2-hunter2@example.com/",
    ],
)
def test_text_that_is_no_link_is_left_out(text: str):
    (standing,) = found(a_hold(0), alert=an_alert(annotations={"runbook_url": text}))
    assert "runbook_url" not in standing.annotations


def test_hold_began_when_its_reason_did():
    (standing,) = found(a_hold(0), a_hold(15, "cooldown"), a_hold(30, "cooldown"))
    assert (labels(standing)["reason"], standing.starts_at) == ("cooldown", NOW + 15)


def test_closed_hold_causes_nothing():
    assert found(a_hold(0), a_hold(9, "expired"), state=State.EXPIRED) == ()
    assert found(a_hold(0), state=State.NOT_NEEDED) == ()


def test_action_goes_on_while_it_is_verified():
    (standing,) = found(a_hold(0), an_act(5), a_write(6))
    assert (labels(standing)["alertname"], labels(standing)["severity"]) == ("RemediationActed", "info")
    assert (standing.starts_at, standing.ends_at) == (NOW + 6, None)


@pytest.mark.parametrize(("closed", "ends"), [(30, 606), (1000, 1000)])
def test_action_ends_when_the_remediation_closes_but_is_seen_first(closed, ends):
    (standing,) = found(an_act(5), a_write(6), a_verdict(closed))
    assert standing.ends_at == NOW + ends


def test_plan_that_waits_for_a_person_is_a_warning():
    (standing,) = found(a_hold(0, "approval", proposal={"plan_hash": "0"}))
    assert (labels(standing)["alertname"], labels(standing)["severity"]) == ("RemediationPlanned", "warning")
    assert standing.annotations["summary"].startswith("Repair waits for approval by policy")
    assert standing.annotations["approve"].startswith("controlcore-remediator approve 0001 ")
    assert standing.annotations["reject"] == "controlcore-remediator reject 0001"


@pytest.mark.parametrize(("mode", "state"), [(Mode.DRY_RUN, State.DRY_RUN), (Mode.OBSERVE, State.OBSERVED)])
def test_plan_that_stays_one_is_shown_for_a_while(mode, state):
    (standing,) = found(an_act(0, state), policy=restart_policy(mode=mode), state=state)
    assert (labels(standing)["alertname"], labels(standing)["severity"]) == ("RemediationPlanned", "info")
    assert "not carried out" in standing.annotations["summary"]
    assert not {"approve", "reject", "help"} & standing.annotations.keys()
    assert standing.ends_at == NOW + LEAST


def test_hold_of_a_policy_that_does_nothing_is_no_warning():
    (standing,) = found(a_hold(0), policy=restart_policy(mode=Mode.DRY_RUN))
    assert labels(standing)["severity"] == "info"


def test_policy_that_has_gone_announces_nothing():
    assert (
        announce(
            told(a_hold(0)).__class__(told(a_hold(0)).remediation, None, told(a_hold(0)).moments),
            AnnouncementForm({}, 1),
        )
        == ()
    )


TEXTS = st.text(st.characters(), max_size=40)


@given(TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_nothing_that_an_alert_says_becomes_a_label(name, namespace, target, said):
    """A target outside the policy's list is only what an alert said."""
    alert = an_alert(name=name, labels=said | {"remediation": "restart-api"})
    (standing,) = found(
        a_hold(0, "not_allowed", name), alert=alert, target=Target(namespace + "-", "Deployment", target)
    )
    assert labels(standing) == {
        "alertname": "RemediationHeld",
        "severity": "warning",
        "policy": "restart-api",
        "mode": "auto",
        "reason": "not_allowed",
    }
    assert all(text.isprintable() for text in standing.annotations.values())


def test_no_announcement_asks_for_a_policy():
    for records in ((a_hold(0),), (an_act(0),), (a_write(0),)):
        for standing in found(*records):
            assert labels(standing)["alertname"] in ANNOUNCEMENTS
            assert "remediation" not in labels(standing)
            assert labels(standing)["reason"] in {*HoldReason, "guards_passed", "written"}


def test_both_times_are_always_sent():
    standing = AnnouncedAlert((("alertname", "RemediationHeld"),), {"summary": "s"}, NOW)
    assert to_wire(standing, NOW + 10, 240) == {
        "labels": {"alertname": "RemediationHeld"},
        "annotations": {"summary": "s"},
        "startsAt": "2023-11-14T22:13:20.000Z",
        "endsAt": "2023-11-14T22:17:30.000Z",
    }


def test_end_before_the_beginning_is_none():
    """A clock that was set back between the two must not have Alertmanager refuse the alert."""
    wire = to_wire(AnnouncedAlert((), {}, NOW, NOW - 5), NOW, 240)
    assert wire["startsAt"] == wire["endsAt"]
