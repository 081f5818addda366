"""R1: a silence that froze the remediator for good, on a real Alertmanager; `make chaos` sets many of them."""

from __future__ import annotations

import os

import pytest

from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.http import call

SILENCES = int(os.environ.get("CONTROLCORE_FREEZING_SILENCES", "3"))
pytestmark = pytest.mark.timeout(120 + SILENCES)
CONFIGURATION = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
LONG = "node-7.eu-west-1.compute.example.com." * 20 + "!"
FORMS = (r"(([a-z0-9]+)[.-]?)+:9090", "((.+)+)+#", "((a|b|c|ab|bc)*){1,300}#", "(x+x+)+y", "(.?){300}#")
DECISIONS = "SELECT json_extract(data, '$.facts.mutes.value') FROM record WHERE kind = 'decision'"
"""What mutes the alert; null if unknown."""


def test_silences_that_froze_the_program_cost_it_nothing() -> None:
    with AlertmanagerServer(CONFIGURATION) as alertmanager:
        for number in range(SILENCES):
            matcher = {"name": "instance", "value": FORMS[number % len(FORMS)], "isRegex": True, "isEqual": True}
            dates = {"startsAt": "2020-01-01T00:00:00Z", "endsAt": "2999-01-01T00:00:00Z"}
            silence = {"matchers": [matcher], **dates, "createdBy": "anybody", "comment": str(number)}
            call("POST", f"{alertmanager.url}/api/v2/silences", silence)
        settings = {"alertmanager": {"url": alertmanager.url, "timeout_seconds": 10}}
        with RunningRemediator(settings=settings) as remediator:
            assert remediator.post(an_alert(0, instance=LONG)) == 200
            wait_for(lambda: remediator.read(DECISIONS), 30)
            assert remediator.read(DECISIONS)[0][0] == "[]"
            assert remediator.ask("GET", "/-/healthy")[0] == 200
            assert remediator.post(an_alert(1, instance=LONG)) == 200
            assert "event_loop.blocked" not in {line["event"] for line in remediator.log()}
