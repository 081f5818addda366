"""Each endpoint of the bouncers and of OPAL: its exact status and body."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.demo.asking import Answer, ask
from tools.servers.opa import OpaServer
from tools.standin import processes
from tools.standin.policy import bouncer as bouncer_program

if TYPE_CHECKING:
    from tools.standin.running import StandIn

pytestmark = pytest.mark.timeout(60)

BOUNCER = "bouncer-sandbox"


def question(user: str = "canary-allow", action: str = "read") -> dict[str, object]:
    resource = {"id": "canary-resource", "type": "canary"}
    return {"user": {"id": user}, "resource": resource, "action": {"name": action}, "context": {}}


def test_bouncer_health_is_a_static_answer(quiet: StandIn) -> None:
    answer = ask(f"{quiet.bouncers[BOUNCER]}/health")
    assert answer.status == 200
    del answer.body["timestamp"]
    features = ["pep", "pdp", "caching", "audit"]
    expected = {"status": "healthy", "service": "controlcore-bouncer", "version": "1.0.0", "features": features}
    assert answer.body == expected


def test_bouncer_healthz_is_a_static_answer(quiet: StandIn) -> None:
    answer = ask(f"{quiet.bouncers[BOUNCER]}/healthz")
    assert (answer.status, answer.body["status"], answer.body["service"]) == (200, "ok", "ControlCore Bouncer with PDP")


@pytest.mark.parametrize("path", ["/metrics", "/ready", "/anything"])
def test_path_the_bouncer_does_not_know_is_a_plain_404(quiet: StandIn, path: str) -> None:
    assert ask(quiet.bouncers[BOUNCER] + path) == Answer(404, "404 page not found")


def test_policy_decisions_are_200_with_their_reason(quiet: StandIn) -> None:
    url = f"{quiet.bouncers[BOUNCER]}/api/v1/authorize"
    assert ask(url, question()) == Answer(200, {"allow": True, "reason": "Access granted by OPA policy"})
    assert ask(url, question("canary-deny")) == Answer(200, {"allow": False, "reason": "Access denied by OPA policy"})


def test_bulk_answers_each_question_in_order(quiet: StandIn) -> None:
    url = f"{quiet.bouncers[BOUNCER]}/api/v1/authorize/bulk"
    answer = ask(url, [question(), question("canary-deny")])
    assert answer.status == 200
    assert [each["allow"] for each in answer.body["decisions"]] == [True, False]


def test_bulk_of_more_than_fifty_is_refused(quiet: StandIn) -> None:
    url = f"{quiet.bouncers[BOUNCER]}/api/v1/authorize/bulk"
    assert ask(url, [question()] * 51).status == 400
    assert ask(url, [question()] * 50).status == 200


def test_malformed_question_is_400(quiet: StandIn) -> None:
    answer = ask(f"{quiet.bouncers[BOUNCER]}/api/v1/authorize", {"user": "x"})
    assert (answer.status, answer.body["error"]) == (400, "Invalid request format")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("engine_error", "OPA evaluation failed: Post http://opa:8181/v1/data/enabled: connection refused"),
        ("undefined", "No policy result (undefined) - default deny"),
        ("wrong_answer", "Access denied by OPA policy"),
    ],
)
def test_broken_engine_is_still_200_and_healthy(healed: StandIn, kind: str, reason: str) -> None:
    healed.fault(BOUNCER, kind)
    url = healed.bouncers[BOUNCER]
    assert ask(f"{url}/api/v1/authorize", question()) == Answer(200, {"allow": False, "reason": reason})
    assert ask(f"{url}/health").status == 200
    assert ask(f"{healed.bouncers['bouncer-production']}/api/v1/authorize", question()).body["allow"]


def test_opal_status_is_503_because_a_stock_server_has_no_health(quiet: StandIn) -> None:
    answer = ask(f"{quiet.bouncers[BOUNCER]}/api/v1/opal/status")
    assert answer == Answer(503, {"status": "unhealthy", "error": "OPAL server health check failed with status 404"})


def test_metrics_are_json_with_the_cache_sizes(quiet: StandIn) -> None:
    url = quiet.bouncers["bouncer-production"]
    ask(f"{url}/api/v1/authorize", question("somebody"))
    answer = ask(f"{url}/api/v1/metrics")
    assert set(answer.body) == {"policy_cache", "decision_cache", "last_sync", "bouncer"}
    assert set(answer.body["policy_cache"]) == {"size", "max_size", "ttl", "total_access", "expired_count"}
    assert (answer.body["policy_cache"]["size"], answer.body["policy_cache"]["ttl"]) == (0, "5m0s")
    assert answer.body["decision_cache"]["size"] == 0
    assert set(answer.body["bouncer"]) == {"uptime", "cache_size", "decision_cache_size", "last_sync"}


def test_caches_are_cleared_and_synchronising_fails(quiet: StandIn) -> None:
    """The product's bouncer cannot read a policy's numeric id: both ways to synchronise end with 500."""
    url = quiet.bouncers[BOUNCER]
    before = quiet.look(BOUNCER)["counters"]
    assert ask(f"{url}/api/v1/policies/cache/clear", {}) == Answer(200, {"message": "Cache cleared successfully"})
    assert ask(f"{url}/api/v1/policies/sync").status == 500
    assert ask(f"{url}/api/v1/opal/sync", {}).status == 500
    after = quiet.look(BOUNCER)["counters"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    names = ("cache_clear", "policies_sync", "opal_sync")
    assert [after[name] - before.get(name, 0) for name in names] == [1, 1, 1]


def test_bouncer_that_caches_decisions_leaks_until_it_is_cleared() -> None:
    bouncer = processes.start("bouncer", ["--decision-cache"])
    try:
        ask(f"{bouncer.url}/api/v1/authorize", question("somebody"))
        assert ask(f"{bouncer.url}/api/v1/metrics").body["decision_cache"]["size"] == 1
        ask(f"{bouncer.url}/api/v1/policies/cache/clear", {})
        assert ask(f"{bouncer.url}/api/v1/metrics").body["decision_cache"]["size"] == 0
    finally:
        bouncer.end()


@pytest.mark.parametrize("path", ["/", "/healthcheck"])
def test_opal_server_is_ok(quiet: StandIn, path: str) -> None:
    assert ask(quiet.opal_server_url + path) == Answer(200, {"status": "ok"})


def test_opal_server_has_no_health(quiet: StandIn) -> None:
    assert ask(f"{quiet.opal_server_url}/health") == Answer(404, {"detail": "Not Found"})


@pytest.mark.parametrize("path", ["/stats", "/statistics"])
def test_statistics_are_501_by_default(quiet: StandIn, path: str) -> None:
    assert ask(quiet.opal_server_url + path).status == 501


def test_statistics_tell_clients_when_enabled() -> None:
    server = processes.start("opal", ["--role", "server", "--statistics", "--clients", "2"])
    try:
        answer = ask(f"{server.url}/stats")
    finally:
        server.end()
    assert (answer.status, set(answer.body)) == (200, {"uptime", "version", "client_count", "server_count"})
    assert (answer.body["client_count"], answer.body["server_count"]) == (2, 1)


def test_broken_broadcaster_is_503(healed: StandIn) -> None:
    healed.fault("opal-server", "engine_error")
    answer = ask(f"{healed.opal_server_url}/healthcheck")
    assert answer == Answer(503, {"status": "error", "broadcaster": "unhealthy"})
    assert ask(f"{healed.opal_server_url}/loadlimit").status == 429


@pytest.mark.parametrize("path", ["/", "/healthcheck", "/healthy"])
def test_opal_client_is_online(quiet: StandIn, path: str) -> None:
    assert ask(quiet.opal_client_url + path) == Answer(200, {"status": "ok", "online": True})


def test_opal_client_is_ready_until_its_engine_breaks(healed: StandIn) -> None:
    assert ask(f"{healed.opal_client_url}/ready").status == 200
    healed.fault("opal-client", "engine_error")
    assert ask(f"{healed.opal_client_url}/ready").status == 503
    assert ask(f"{healed.opal_client_url}/healthy") == Answer(503, {"status": "unavailable"})


def test_triggers_are_counted(quiet: StandIn) -> None:
    for path in ("/policy-updater/trigger", "/data-updater/trigger", "/policy-updater/trigger"):
        assert ask(quiet.opal_client_url + path, {}) == Answer(200, {"status": "ok"})
    counters = quiet.look("opal-client")["counters"]
    assert isinstance(counters, dict)
    assert (counters["policy_update"] >= 2, counters["data_update"] >= 1) == (True, True)


def test_real_opa_decides_when_its_url_is_given() -> None:
    policy = (Path(bouncer_program.__file__).with_name("policy.rego")).read_text()
    with OpaServer({"enabled": policy}) as opa:
        bouncer = processes.start("bouncer", ["--opa-url", opa.url])
        try:
            url = f"{bouncer.url}/api/v1/authorize"
            assert ask(url, question()).body == {"allow": True, "reason": "Access granted by OPA policy"}
            assert ask(url, question("canary-deny")).body == {"allow": False, "reason": "Access denied by OPA policy"}
            opa.stop()
            answer = ask(url, question())
            assert (answer.status, answer.body["allow"]) == (200, False)
            assert answer.body["reason"].startswith("OPA evaluation failed: ")
        finally:
            bouncer.end()


def test_real_opa_without_policy_is_undefined() -> None:
    with OpaServer() as opa:
        bouncer = processes.start("bouncer", ["--opa-url", opa.url])
        try:
            answer = ask(f"{bouncer.url}/api/v1/authorize", question())
        finally:
            bouncer.end()
    assert answer.body == {"allow": False, "reason": "No policy result (undefined) - default deny"}
