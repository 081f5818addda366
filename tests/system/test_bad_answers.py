"""An API server in trouble and a disk that is full: nothing is done on a guess, and everything once it is well."""

from __future__ import annotations

import resource

import pytest

from tests.fakes.faulty_proxy import Fault
from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tests.system.stage import Stage, deliver, kinds, newest, wait_closed

pytestmark = pytest.mark.timeout(120)
READS = (
    (Fault.LATE, 0, "timeout: "),
    (Fault.STATUS, 429, "overloaded: HTTP status 429"),
    (Fault.STATUS, 500, "http_5xx: HTTP status 500"),
    (Fault.STATUS, 504, "http_5xx: HTTP status 504"),
    (Fault.CUT, 0, "closed: "),
)
DECISION = """
SELECT json_extract(data, '$.reason'), json_extract(data, '$.facts.workload.problem') FROM record
WHERE kind = 'decision' ORDER BY number DESC LIMIT 1"""
WRITE = """
SELECT json_extract(data, '$.result'), json_extract(data, '$.detail') FROM record
WHERE kind = 'write' ORDER BY number DESC LIMIT 1"""


def said(remediator: RunningRemediator, question: str) -> tuple[str, str]:
    """The two texts of the newest record of a kind."""
    rows = remediator.read(question)
    return (str(rows[0][0]), str(rows[0][1])) if rows else ("", "")


def test_api_server_that_cannot_be_read_holds_whatever_its_trouble_is(stage: Stage) -> None:
    """Hung, 429, 500, 504, cut in the middle of a reply: each is reported, and none counts as an answer."""
    stage.deploy()
    before = stage.breaks()
    stage.front.fail(*READS[0][:1], {"GET"})
    with stage.remediator() as remediator:
        deliver(remediator)
        for fault, status, problem in READS:
            stage.front.fail(fault, {"GET"}, status)
            wait_for(lambda problem=problem: said(remediator, DECISION)[1].startswith(problem))
            assert said(remediator, DECISION)[0] == "target_unknown"
            stage.front.release()
        assert kinds(remediator, "intent") == 0
        stage.front.heal()
        assert wait_closed(remediator) == "succeeded"
    assert stage.generation() == before + 1


def test_write_into_an_api_server_in_trouble_has_one_effect(stage: Stage) -> None:
    """Refused with 429, then 504; stored and cut in the middle of the reply: the object shows which it was."""
    stage.deploy()
    before = stage.breaks()
    stage.front.fail(Fault.STATUS, {"PATCH"}, 429)
    with stage.remediator() as remediator:
        deliver(remediator)
        for status in (429, 504):
            stage.front.fail(Fault.STATUS, {"PATCH"}, status)
            wait_for(lambda status=status: f"HTTP status {status}" in said(remediator, WRITE)[1])
            assert said(remediator, WRITE)[0] == "unknown"
        assert stage.generation() == before
        stage.front.fail(Fault.CUT, {"PATCH"})
        assert wait_closed(remediator) == "succeeded"
    assert stage.generation() == before + 1
    assert stage.front.statuses.count(("PATCH", 200)) == 1


def test_disk_that_is_full_when_the_decision_is_journalled_stops_the_write(stage: Stage) -> None:
    """No file may grow any more while the facts are on their way: without an intent in the journal nothing is sent."""
    stage.deploy()
    before = stage.breaks()
    stage.watch.may_answer.clear()
    with stage.remediator() as remediator:
        deliver(remediator)
        wait_for(lambda: newest(remediator)[0] == "claimed")
        pid = remediator.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        try:
            stage.watch.may_answer.set()
            wait_for(lambda: ("GET", stage.path()) in stage.front.seen)
            wait_for(lambda: remediator.ask("GET", "/-/ready")[0] == 503)
            assert remediator.post(an_alert(2, deployment="other")) == 503
            assert ("PATCH", 200) not in stage.front.statuses
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

        assert wait_closed(remediator) == "succeeded"
        assert kinds(remediator, "claimed") >= 2
        assert kinds(remediator, "intent") == 1
    assert stage.generation() == before + 1
