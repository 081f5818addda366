"""What Alertmanager says about one alert."""

from __future__ import annotations

import asyncio
import json

import pytest

from chassis.errors import BackendError
from chassis.http import Call, Response
from remediations.alertmanager import Alertmanager
from remediations.settings import AlertmanagerSettings
from tests.fakes.decisions import LABELS, an_alert
from tools.slowness import scaled

SETTINGS = AlertmanagerSettings(url="http://am:9093/", timeout_seconds=1.0)
ALERT = an_alert()
QUIET = {"state": "active", "silencedBy": [], "inhibitedBy": []}


class Web:
    """Answers by the end of the path."""

    def __init__(self, silences=(), alerts=(), status: int = 200) -> None:
        self.answers = {"silences": silences, "alerts": alerts}
        self.status = status
        self.calls: list[Call] = []

    async def send(self, call: Call) -> Response:
        self.calls.append(call)
        body = json.dumps(self.answers[call.url.rsplit("/", 1)[1]]).encode()
        return Response(self.status, body, 0.001)


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


async def test_matcher_that_does_not_compile_is_an_error():
    with pytest.raises(BackendError):
        await mutes(silences=[a_silence(("cluster", "(", True, True))])


async def test_silences_and_alerts_are_asked_at_the_same_time():
    """Neither answer comes before both questions have."""
    both = asyncio.Event()

    class Together(Web):
        async def send(self, call: Call) -> Response:
            response = await super().send(call)
            if len(self.calls) == 2:
                both.set()
            await both.wait()
            return response

    async with asyncio.timeout(scaled(5)):
        assert await Alertmanager(Together(), SETTINGS).mutes(ALERT) == ()
