from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from chassis.errors import PermanentError, Reason, TransientError
from chassis.http.call import Response
from exporter.collector import NotConfiguredError
from exporter.collectors.policy_engine.policy_parity import PolicyParityCollector, PolicyParitySettings, read_module
from exporter.settings import BouncerTarget, ExporterSettings
from exporter.sources.kept_state import KeptState
from tests.fakes.sources import FakeHttp, FakeSql, expose, golden, make_sources, samples, value

SETTINGS = ExporterSettings(
    bouncers=(
        BouncerTarget(name="b-sandbox", url="http://s:1", environment="sandbox", opa_url="http://sandbox:8181"),
        BouncerTarget(name="b-production", url="http://p:1", opa_url="http://production:8181"),
        BouncerTarget(name="b-without", url="http://w:1"),
    )
)
BOTH = {"sandbox_status": "enabled", "production_status": "enabled"}
NEITHER = {"sandbox_status": None, "production_status": "not-promoted"}
ROWS = [
    {"id": "1", "name": "canary", "environment": "both", "status": "enabled"} | BOTH,
    {"id": "2", "name": "orders read", "environment": "sandbox", "status": "enabled"} | NEITHER,
]
PARITY = "controlcore_policy_parity"


def answer(*ids, status=200):
    return Response(status, json.dumps({"result": [{"id": each, "raw": "package x"} for each in ids]}).encode(), 0.01)


RESOURCES = [
    {"id": "1", "name": "orders", "bouncer": "b-sandbox"},
    {"id": "2", "name": "orders", "bouncer": "b-production"},
    {"id": "3", "name": "bills", "bouncer": "b-other"},
    {"id": "4", "name": "unlinked", "bouncer": None},
]


async def collect(sandbox=None, production=None, rows=ROWS, readable=6, kept=None, **settings):
    http = FakeHttp(
        {
            "http://sandbox:8181/v1/policies": sandbox or answer("enabled/canary.rego", "enabled/orders-read.rego"),
            "http://production:8181/v1/policies": production or answer("canary", "orders-read", "lib/time"),
        }
    )
    rows = [{"resource_id": None, **row} for row in rows]
    sql = FakeSql(
        {"pg_attribute": [{"columns": readable}], "FROM protected_resources": RESOURCES, "FROM policies": rows}
    )
    sources = make_sources(SETTINGS, postgres=sql, http=http, kept=kept or KeptState())
    async with PolicyParityCollector.open(PolicyParitySettings(**settings), sources) as collector:
        return await collector.collect()


async def test_compared_engines_give_the_golden_page():
    result = await collect()
    assert expose(result.families) == golden("policy_parity")
    assert result.failure is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (TransientError(Reason.REFUSED, "down"), Reason.REFUSED),
        (answer(status=401), Reason.AUTH),
        (Response(200, b"<html>", 0.01), Reason.MALFORMED),
        (Response(200, b'{"result": [{"id": 7}]}', 0.01), Reason.MALFORMED),
    ],
)
async def test_engine_that_cannot_be_asked_is_absent_and_the_others_are_there(given, reason):
    result = await collect(production=given)
    assert result.failure.reason is reason
    assert samples(result.families)[PARITY] == {("b-sandbox",): 1}


async def test_engine_that_lost_its_policies_is_told_after_a_reload_too():
    """P2, P4: with only a library no naming fits, and only the previous naming shows that all policies are missing."""
    kept = KeptState()
    pattern = {"module_pattern": "([a-z-]+)$", "identified_by": "name"}
    await collect(kept=kept, **pattern)
    lost = {"sandbox": answer("lib/time"), "production": answer("lib/time")}
    assert value((await collect(**lost, **pattern)).families, PARITY, "b-production") is None
    assert value((await collect(**lost, kept=kept, **pattern)).families, PARITY, "b-production") == 0


@pytest.mark.parametrize("environment", ["sandbox", "production"])
async def test_real_product_names_modules_by_id_and_is_equal_without_a_setting(environment):
    """P2."""
    modules = {"sandbox": ("policy_1", "policy_2"), "production": ("policy_1",)}
    given = {name: answer(*(f"policies/o/{name}/enabled/{each}.rego" for each in ids)) for name, ids in modules.items()}
    found = samples((await collect(**given)).families)
    assert found[PARITY][f"b-{environment}",] == 1
    assert found["controlcore_policies_missing"][f"b-{environment}",] == 0


async def test_modules_that_nothing_explains_leave_parity_unknown_and_the_counts_there():
    """P2: "cannot tell"."""
    found = samples((await collect(answer("lib/a"), answer("lib/b"))).families)
    assert set(found) == {"controlcore_policies_expected", "controlcore_policies_present"}


async def test_policy_switched_off_as_a_whole_is_expected_nowhere():
    """P12: `policies` says the same, by the same function."""
    rows = [ROWS[0] | {"status": "disabled"}, ROWS[1]]
    found = samples((await collect(rows=rows)).families)
    assert found["controlcore_policies_expected"] == {("b-sandbox",): 1, ("b-production",): 0}


@pytest.mark.parametrize(("readable", "missing"), [(6, 0), (5, 1)])
async def test_policy_for_the_resource_of_another_bouncer_is_missing_only_while_resources_are_unreadable(
    readable, missing
):
    rows = [ROWS[0] | {"resource_id": "1"}, ROWS[0] | {"id": "9", "name": "bills", "resource_id": "3"}]
    found = samples((await collect(answer("policy_1"), answer("policy_1"), rows=rows, readable=readable)).families)
    for bouncer in ("b-sandbox", "b-production"):
        assert found["controlcore_policies_missing"][bouncer,] == missing
        assert found["controlcore_policies_expected"][bouncer,] == 1 + missing


async def test_row_that_cannot_be_read_makes_no_policy_a_deleted_one():
    found = samples((await collect(answer("policy_1", "policy_2"), rows=[ROWS[0], ROWS[1] | {"id": None}])).families)
    assert found["controlcore_policies_withdrawn_present"]["b-sandbox",] == 0


def test_module_of_the_engines_own_package_is_no_policy():
    """OPAL's health check (data.system.opal) is there when no policy is."""

    def module(name, *path):
        return {"id": name, "ast": {"package": {"path": [{"type": "var", "value": each} for each in ("data", *path)]}}}

    listed = [module("opal.rego", "system", "opal"), module("a", "enabled", "system"), {"id": "b", "ast": None}]
    assert [read_module(each) for each in listed] == [("opal.rego", True), ("a", False), ("b", False)]


async def test_modules_may_carry_ids_instead_of_names():
    result = await collect(
        sandbox=answer("policy_1", "policy_2"), identified_by="id", module_pattern=r"^policy_([0-9]+)$"
    )
    assert value(result.families, PARITY, "b-sandbox") == 1


async def test_more_policies_than_the_limit_are_a_failure_and_no_drift():
    with pytest.raises(PermanentError) as caught:
        await collect(max_policies=1)
    assert caught.value.reason is Reason.EXHAUSTED


@pytest.mark.parametrize("pattern", ["(", "no group", "(two)(groups)"])
def test_pattern_without_exactly_one_group_is_refused(pattern):
    with pytest.raises(ValidationError):
        PolicyParitySettings(module_pattern=pattern)


async def test_engine_without_policies_holds_none():
    for body in (b"{}", b'{"result": []}'):
        result = await collect(production=Response(200, body, 0.01))
        assert value(result.families, "controlcore_policies_present", "b-production") == 0


async def test_answer_of_many_and_deep_policies_is_read():
    """R10: with 4 MiB, 400,000 values and 64 levels for the whole answer, max_policies was never reached."""
    tree = json.loads("[" * 200 + "]" * 200)
    listed = [{"id": "canary", "ast": {"rules": tree}}]
    listed += [{"id": f"lib/{number}", "ast": {"rules": [[]] * 500}} for number in range(4_000)]
    result = await collect(production=Response(200, json.dumps({"result": listed}).encode(), 0.01))
    assert result.failure is None
    assert value(result.families, "controlcore_policies_present", "b-production") == 4_001


@pytest.mark.parametrize("setting", ["max_answer_bytes", "max_policy_characters"])
async def test_answer_over_a_limit_names_the_setting(setting):
    """R10."""
    body = json.dumps({"result": [{"id": "canary", "raw": "x" * 2_000_000}]}).encode()
    result = await collect(production=Response(200, body, 0.01), **{setting: 1024 * 1024})
    assert f"collectors.policy_parity.{setting}" in str(result.failure)
    assert value(result.families, PARITY, "b-sandbox") is not None


async def test_no_engine_or_no_database_is_not_configured():
    for sources in (make_sources(SETTINGS), make_sources(postgres=FakeSql({}))):
        with pytest.raises(NotConfiguredError):
            async with PolicyParityCollector.open(PolicyParitySettings(), sources):
                pass
