from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from chassis.errors import PermanentError, Reason, TransientError
from chassis.http.call import Response
from exporter.collector import NotConfiguredError
from exporter.collectors.policy_engine.opal import OpalCollector, OpalSettings
from tests.fakes.sources import FakeHttp, expose, golden, make_sources, samples, value

SERVER, CLIENT = "http://opal-server:7002", "http://opal-client:7000"
UP, STATISTICS = "controlcore_opal_up", "controlcore_opal_statistics_enabled"
CLIENTS, BROADCASTER = "controlcore_opal_server_clients", "controlcore_opal_broadcaster_failing"
ONLINE, READY = "controlcore_opal_client_online", "controlcore_opal_client_ready"
CLIENT_UP = "controlcore_opal_client_up"


def say(body, status=200):
    return Response(status, json.dumps(body).encode(), 0.001)


STATS = say({"uptime": "5s", "version": "0.8.0", "client_count": 3, "server_count": 1})


def bridge(**changes):
    answers = {
        f"{SERVER}/healthcheck": say({"status": "ok"}),
        f"{SERVER}/stats": STATS,
        f"{SERVER}/pubsub_client_info": say({"detail": "Not Found"}, 404),
        f"{CLIENT}/healthy": say({"status": "ok", "online": True}),
        f"{CLIENT}/ready": say({"status": "ok"}),
    }
    paths = {"pubsub_client_info": SERVER, "healthcheck": SERVER, "stats": SERVER, "healthy": CLIENT, "ready": CLIENT}
    return FakeHttp(answers | {f"{paths[path]}/{path}": answer for path, answer in changes.items()})


async def collect(http, **settings):
    given = {"server_url": SERVER, "clients": ({"name": "opa-1", "url": f"{CLIENT}/"},)} | settings
    async with OpalCollector.open(OpalSettings(**given), make_sources(http=http)) as collector:
        return await collector.collect()


async def test_working_bridge_gives_the_golden_page():
    result = await collect(bridge())
    assert expose(result.families) == golden("opal")
    assert result.failure is None


async def test_statistics_that_are_off_are_a_finding_and_no_failure():
    result = await collect(bridge(stats=say({"detail": "off"}, 501)))
    assert (value(result.families, STATISTICS), value(result.families, CLIENTS)) == (0, None)
    assert result.failure is None


def connection(topic):
    return {"client_id": "host:10.0.0.1:1", "subscribed_topics": [topic], "refcount": 1, "query_params": {}}


async def test_two_connections_of_one_client_are_one_client():
    """P9: OPAL 0.9.9 lists a client twice, once for policies and once for data."""
    listed = {"a": connection("policy:."), "b": connection("policy_data"), "c": connection("policy_data")}
    http = bridge(stats=say({"client_count": 0, "server_count": 1}), pubsub_client_info=say(listed))
    result = await collect(http)
    assert value(result.families, CLIENTS) == 2


@pytest.mark.parametrize(
    ("counted", "listed", "clients"),
    [
        (0, say({"opal:1": {"client_id": "opal:1"}}), 1),
        (0, say({}), 0),
        (3, say({"opal:1": {}}), 3),
        (0, say({}, 404), None),
        (0, say([]), None),
        (0, TransientError(Reason.TIMEOUT, "no answer"), None),
        (2, TransientError(Reason.TIMEOUT, "no answer"), 2),
    ],
)
async def test_statistics_on_one_side_count_no_client_that_is_connected(counted, listed, clients):
    """P9: a client reports its own statistics only if configured; the server's list contains it anyway."""
    http = bridge(stats=say({"client_count": counted, "server_count": 1}), pubsub_client_info=listed)
    result = await collect(http)
    assert (value(result.families, CLIENTS), result.failure) == (clients, None)


async def test_statistics_that_counted_a_client_may_say_none():
    """P9: without the list too; else a client that died would be unknown."""
    http = bridge()
    async with OpalCollector.open(OpalSettings(server_url=SERVER), make_sources(http=http)) as collector:
        await collector.collect()
        http.answers[f"{SERVER}/stats"] = say({"client_count": 0})
        assert value((await collector.collect()).families, CLIENTS) == 0


async def test_statistics_that_counted_a_client_may_say_none_after_a_reload_too():
    """P4, P9."""
    http, settings = bridge(), OpalSettings(server_url=SERVER)
    sources = make_sources(http=http)
    async with OpalCollector.open(settings, sources) as collector:
        await collector.collect()
    http.answers[f"{SERVER}/stats"] = say({"client_count": 0})
    async with OpalCollector.open(settings, sources) as collector:
        assert value((await collector.collect()).families, CLIENTS) == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (say({}, 401), Reason.AUTH),
        (say({"detail": "Not Found"}, 404), Reason.MISSING),
        (say([]), Reason.MALFORMED),
        (say({"client_count": "3"}), Reason.MALFORMED),
        (say({"client_count": True}), Reason.MALFORMED),
        (say({"client_count": -1}), Reason.MALFORMED),
        (Response(200, b"<html>", 0.001), Reason.MALFORMED),
        (TransientError(Reason.TIMEOUT, "no answer"), Reason.TIMEOUT),
    ],
)
async def test_statistics_that_cannot_be_read_are_unknown_and_say_why(answer, reason):
    result = await collect(bridge(stats=answer))
    assert (value(result.families, UP), value(result.families, CLIENT_UP, "opa-1")) == (1, 1)
    assert value(result.families, STATISTICS) is None
    assert result.failure.reason is reason


async def test_missing_count_of_servers_leaves_that_one_unknown():
    result = await collect(bridge(stats=say({"client_count": 2})))
    assert value(result.families, CLIENTS) == 2
    assert "controlcore_opal_server_replicas" not in samples(result.families)


async def test_server_that_blames_its_broadcaster_is_down_for_that_reason():
    result = await collect(bridge(healthcheck=say({"status": "error", "broadcaster": "unhealthy"}, 503)))
    assert (value(result.families, UP), value(result.families, BROADCASTER)) == (0, 1)
    assert value(result.families, STATISTICS) is None
    assert result.failure is None


@pytest.mark.parametrize("said", [{"status": "ok"}, {"status": "ok", "broadcaster": None}, []])
async def test_broadcaster_of_which_nothing_is_said_is_unknown(said):
    """P12's kind: 0 was published for a field that was not there. OPAL says nothing while it does not check."""
    result = await collect(bridge(healthcheck=say(said)))
    assert (value(result.families, UP), value(result.families, BROADCASTER)) == (1, None)

    result = await collect(bridge(healthcheck=say({"status": "ok", "broadcaster": "healthy"})))
    assert value(result.families, BROADCASTER) == 0


@pytest.mark.parametrize(
    "answer",
    [
        TransientError(Reason.REFUSED, "down"),
        say({"detail": "Not Found"}, 404),
        Response(503, b"no healthy upstream", 0.001),
        say({"status": "error"}, 503),
    ],
)
async def test_server_that_does_not_serve_is_down_and_its_broadcaster_unknown(answer):
    result = await collect(bridge(healthcheck=answer))
    assert (value(result.families, UP), value(result.families, BROADCASTER)) == (0, None)


async def test_client_that_lost_its_server_is_up_and_not_online():
    result = await collect(bridge(healthy=say({"status": "ok", "online": False})))
    assert (value(result.families, CLIENT_UP, "opa-1"), value(result.families, ONLINE, "opa-1")) == (1, 0)


async def test_client_without_policies_is_not_ready():
    result = await collect(bridge(ready=say({"status": "unavailable"}, 503)))
    assert value(result.families, READY, "opa-1") == 0


async def test_client_that_is_away_is_down_and_the_rest_unknown():
    down = TransientError(Reason.REFUSED, "down")
    result = await collect(bridge(healthy=down, ready=down))
    assert value(result.families, CLIENT_UP, "opa-1") == 0
    assert not {ONLINE, READY} & set(samples(result.families))


async def test_build_without_ready_and_online_leaves_them_unknown():
    result = await collect(bridge(healthy=Response(200, b"ok", 0.001), ready=say({"detail": "Not Found"}, 404)))
    assert value(result.families, CLIENT_UP, "opa-1") == 1
    assert not {ONLINE, READY} & set(samples(result.families))


async def test_token_travels_to_the_statistics_alone(tmp_path):
    token = tmp_path / "token"
    token.write_text("made-up\n", encoding="utf-8")
    http = bridge()
    await collect(http, token_file=token)
    sent = {call.url: call.headers.get("Authorization") for call in http.calls}
    assert {sent.pop(f"{SERVER}/{path}") for path in ("stats", "pubsub_client_info")} == {"Bearer made-up"}
    assert set(sent.values()) == {None}


async def test_token_file_that_is_gone_is_an_auth_failure(tmp_path):
    result = await collect(bridge(), token_file=tmp_path / "gone")
    assert isinstance(result.failure, PermanentError)
    assert result.failure.reason is Reason.AUTH


async def test_nothing_configured_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with OpalCollector.open(OpalSettings(), make_sources()):
            pass


def test_address_with_credentials_is_refused():
    with pytest.raises(ValidationError):
        OpalSettings(server_url="http://user:password@opal-server:7002")
