"""What Alertmanager says about one alert."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.http.call import Call, Response, status_error
from remediations.facts.alertmanager import Alertmanager, Take
from remediations.settings import AlertmanagerSettings
from tests.fakes.decisions import LABELS, an_alert
from tools.slowness import scaled

SETTINGS = AlertmanagerSettings(url="http://am:9093/", timeout_seconds=1.0)
ALERT = an_alert()
READY: Any = {"cluster": {"status": "ready", "peers": []}}
SETTLING = {"cluster": {"status": "settling"}}
QUIET = {"state": "active", "silencedBy": [], "inhibitedBy": []}


class Web:
    """Answers by the end of the path."""

    def __init__(self, silences=(), alerts=(), status: int = 200, cluster=READY) -> None:
        self.answers = {"silences": silences, "alerts": alerts}
        self.status = status
        self.cluster = cluster
        self.calls: list[Call] = []

    async def send(self, call: Call) -> Response:
        assert call.url == "http://am:9093/api/v2/status"
        assert not self.calls, "silences may have come between them and the status"
        return (
            self.cluster
            if isinstance(self.cluster, Response)
            else Response(200, json.dumps(self.cluster).encode(), 0.1)
        )

    async def read_items(self, call: Call, take: Take) -> None:
        self.calls.append(call)
        if self.status != 200:
            raise status_error(self.status)
        answer = self.answers[call.url.rsplit("/", 1)[1]]
        if not isinstance(answer, list | tuple):
            raise PermanentError(Reason.MALFORMED, "not a list")
        await take(list(answer))


async def mutes(alert=ALERT, **answers) -> tuple[str, ...]:
    return await Alertmanager(Web(**answers), SETTINGS).mutes(alert)


def a_silence(*matchers, state: str = "active"):
    return {
        "id": "s1",
        "status": {"state": state},
        "matchers": [dict(zip(("name", "value", "isRegex", "isEqual"), matcher, strict=True)) for matcher in matchers],
        "createdBy": "sam",
        "comment": "deploy",
    }


def told(**status):
    return {"fingerprint": "f00", "labels": LABELS, "status": QUIET | status}


async def test_nothing_muting_is_an_empty_answer():
    assert await mutes(alerts=[told()]) == ()


@pytest.mark.parametrize(
    ("matchers", "is_for"),
    [
        ([("cluster", "demo", False, True)], True),
        ([("cluster", "de.*", True, True)], True),
        ([("cluster", "de", True, True)], False),
        ([("cluster", "prod", False, False)], True),
        ([("cluster", "demo", False, False)], False),
        ([("cluster", "demo", False, True), ("team", "a", False, True)], False),
        ([("team", "", False, True)], True),
    ],
)
async def test_silence_counts_when_all_its_matchers_fit(matchers, is_for):
    found = await mutes(silences=[a_silence(*matchers)])
    assert found == (("silence s1 by sam: deploy",) if is_for else ())


async def test_silence_that_is_over_does_not_count():
    assert await mutes(silences=[a_silence(("cluster", "demo", False, True), state="expired")]) == ()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"inhibitedBy": ["abc"]}, "inhibited by alert abc"),
        ({"mutedBy": ["night"]}, "muted by night"),
        ({"silencedBy": ["s2"]}, "silence s2"),
    ],
)
async def test_what_alertmanager_did_with_the_alert_counts(status, words):
    assert await mutes(alerts=[told(**status)]) == (words,)


async def test_other_alert_of_the_same_name_does_not_count():
    assert await mutes(alerts=[told(inhibitedBy=["x"]) | {"fingerprint": "f01", "labels": {"cluster": "b"}}]) == ()


async def test_name_is_asked_for_as_a_quoted_matcher():
    web = Web()
    await Alertmanager(web, SETTINGS).mutes(an_alert(name='a"\\\n'))
    assert web.calls[1].params == {"filter": 'alertname="a\\"\\\\\\n"'}
    assert web.calls[0].url == "http://am:9093/api/v2/silences"


@pytest.mark.parametrize("answers", [{"silences": {}}, {"silences": [1]}, {"alerts": [{}]}, {"status": 503}])
async def test_answer_that_is_none_is_an_error(answers):
    with pytest.raises(BackendError):
        await mutes(**answers)


async def test_no_silence_of_a_member_that_is_settling_is_unknown():
    """R4: right after its start it has not received its cluster's silences, and answers with none."""
    with pytest.raises(TransientError, match="settling") as caught:
        await mutes(cluster=SETTLING, alerts=[told()])
    assert caught.value.reason is Reason.STARTING


async def test_silence_that_a_settling_member_knows_counts():
    assert await mutes(cluster=SETTLING, silences=[a_silence(("cluster", "demo", False, True))]) != ()


@pytest.mark.parametrize(
    "cluster",
    [READY, {"cluster": {"status": "disabled"}}, {"config": {}}, {"cluster": None}, [1], Response(404, b"", 0.1)],
    ids=["ready", "disabled", "no-cluster", "null", "list", "not-found"],
)
async def test_no_silence_of_a_member_that_is_not_settling_is_believed(cluster):
    """Servers of the same API show no cluster."""
    assert await mutes(cluster=cluster) == ()


@pytest.mark.parametrize("cluster", [Response(503, b"", 0.1), Response(403, b"", 0.1), Response(200, b"<", 0.1)])
async def test_status_that_cannot_be_read_is_an_error(cluster):
    with pytest.raises(BackendError):
        await mutes(cluster=cluster)


BROKEN = ("cluster", r"(d)\1", True, True)


async def test_silence_that_cannot_be_read_is_named_and_may_be_for_the_alert():
    """R6: named by its id, so that a person can end it."""
    with pytest.raises(BackendError, match="silence s1 cannot be read: not an expression of RE2"):
        await mutes(silences=[a_silence(BROKEN)])


@pytest.mark.parametrize("other", [("team", "a", False, True), ("cluster", "prod.*", True, True)])
async def test_silence_that_cannot_be_read_does_not_concern_an_alert_that_its_other_matchers_refuse(other):
    """R6: a silence of another team holds nothing of ours, whichever matcher comes first."""
    assert await mutes(silences=[a_silence(BROKEN, other), a_silence(other, BROKEN)]) == ()


async def test_silence_that_cannot_be_read_is_not_asked_about_when_another_one_fits():
    found = await mutes(silences=[a_silence(BROKEN), a_silence(("cluster", "demo", False, True))])
    assert found == ("silence s1 by sam: deploy",)


async def test_expired_silence_that_cannot_be_read_concerns_nothing():
    assert await mutes(silences=[a_silence(BROKEN, state="expired")]) == ()


async def test_evil_silence_leaves_the_event_loop_free():
    """R1: the loop keeps running during the slowest expression that is evaluated at all."""
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    evil = ("instance", "((a|b|c|ab|bc)*){1,700}", True, True)
    labels = {"alertname": "A", "instance": "ab" * 1900 + "!"}
    assert await mutes(replace(an_alert(), labels=labels), silences=[a_silence(evil)] * 3) == ()
    counting.cancel()
    assert steps > 10


async def test_silences_and_alerts_are_asked_at_the_same_time():
    """Neither answer comes before both questions have."""
    both = asyncio.Event()

    class Together(Web):
        async def read_items(self, call: Call, take: Take) -> None:
            await super().read_items(call, take)
            if len(self.calls) == 2:
                both.set()
            await both.wait()

    async with asyncio.timeout(scaled(5)):
        assert await Alertmanager(Together(), SETTINGS).mutes(ALERT) == ()


async def test_thread_that_looks_at_silences_ends_with_the_call():
    """R1: each expression takes a while to compile; calls that gave up would take one thread after the other."""
    looked = 0
    is_looking = threading.Event()

    class Silence(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            nonlocal looked
            if name == "status":
                looked += 1
                is_looking.set()
            return super().__getitem__(name)

    class HurriedWeb(Web):
        async def read_items(self, call: Call, take: Take) -> None:
            taking = asyncio.create_task(super().read_items(call, take))
            if call.url.endswith("silences"):
                await asyncio.to_thread(is_looking.wait, scaled(5))
                taking.cancel()
            try:
                await taking
            except asyncio.CancelledError as error:
                raise TransientError(Reason.TIMEOUT, "the deadline passed") from error

    costly = [a_silence(("cluster", rf"(\pL{{1,100}}){{1,8}}{number}", True, True)) for number in range(200)]
    with pytest.raises(TransientError):
        await Alertmanager(HurriedWeb([Silence(silence) for silence in costly]), SETTINGS).mutes(ALERT)
    at_the_end = looked
    await asyncio.get_running_loop().shutdown_default_executor()
    assert looked <= at_the_end + 1 < 200
