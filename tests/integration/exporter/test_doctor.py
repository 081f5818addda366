"""`controlcore-exporter doctor` on a good installation, and on the same one with one thing broken at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.__main__ import main
from tests.integration.exporter.broken import (
    DATABASE,
    FLAGS,
    PASSWORD,
    PEP,
    RULES,
    UNPEP,
    WRONG,
    Breaking,
    Change,
    Installation,
    certificate,
    late_clock,
    lost_policies,
    new_bouncer,
    opened_installation,
    rewritten,
    scraping,
    sql,
    wrong_opal_port,
    wrong_port,
    wrong_service,
)
from tools.servers.prometheus import PrometheusServer
from tools.servers.versions import Generation

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("doctor"), pytest.mark.blocking_allowed]
BOUNCERS = "controlcore-bouncers.yml"
OLD_RULES = {**RULES, BOUNCERS: RULES[BOUNCERS].replace("_bouncer_intercepting", "_bouncer_connected")}
FEW_RULES = {name: text for name, text in RULES.items() if name != "controlcore-redis.yml"}

CASES: dict[str, tuple[Breaking, str, str, str, str]] = {
    "wrong_port": (wrong_port, "error", "database.address", "nothing listens there", "set database.url"),
    "unknown_name": (
        rewritten("api", "127.0.0.1", "no-such-host.invalid"),
        *("error", "api.address", "its name does not resolve", "getent hosts no-such-host.invalid"),
    ),
    "wrong_service": (wrong_service, "error", "api.address", "it does not have what was requested", "set api.url"),
    "untrusted_certificate": (
        certificate(is_trusted=False, is_expired=False),
        *("error", "api.address", "its certificate is not trusted", "set SSL_CERT_FILE="),
    ),
    "expired_certificate": (
        certificate(is_trusted=True, is_expired=True),
        *("error", "api.address", "its certificate has expired", "openssl x509 -noout -enddate"),
    ),
    "wrong_password": (
        rewritten("database", PASSWORD, WRONG),
        *(
            "error",
            "database.address",
            "it refuses the credentials",
            "-d control_core_db -c '\\password cc_exporter'",
        ),
    ),
    "wrong_redis_password": (
        rewritten("redis", PASSWORD, WRONG),
        *("error", "redis.address", "it refuses the credentials", "set redis.password_file"),
    ),
    "wrong_database": (
        rewritten("database", f"/{DATABASE}", "/postgres"),
        *("error", "database.schema", "has none of the product's tables", "set database.url"),
    ),
    "no_database": (
        rewritten("database", f"/{DATABASE}", "/produkt"),
        *("error", "database.address", "it does not have what was requested", "-U cc_exporter -d postgres -l"),
    ),
    "opal_away": (wrong_opal_port, "error", "opal.address", "nothing listens there", "set collectors.opal.server_url"),
    "missing_grant": (
        sql("REVOKE SELECT (status) ON policies FROM cc_exporter", "GRANT SELECT (status) ON policies TO cc_exporter"),
        *("error", "database.grants", "role cc_exporter lacks rights; collectors that fail: policies, policy_parity"),
        "controlcore-exporter grants --role cc_exporter --database control_core_db | psql",
    ),
    "old_schema": (
        sql("ALTER TABLE user_sessions RENAME revoked TO gone", "ALTER TABLE user_sessions RENAME gone TO revoked"),
        *("error", "database.schema", "collectors that fail: users", "--no-collector.users"),
    ),
    "unwatched_bouncer": (
        sql(PEP.format("bouncer-9"), UNPEP.format("bouncer-9")),
        *("warning", "database.bouncers", "registered bouncers are not watched: bouncer-9", "- {name: bouncer-9, url:"),
    ),
    "unread_configuration": (
        new_bouncer,
        *("warning", "prometheus.bouncers", "have no series in Prometheus: bouncer-new", "/-/reload"),
    ),
    "no_policy": (
        lost_policies,
        *("warning", "policy.canary", "bouncer-production has no policy", "/policy-updater/trigger"),
    ),
    "late_clock": (late_clock, "warning", "clock.api", "differ by 3", "chronyc tracking"),
    "no_rules": (scraping(rules={}), "error", "prometheus.rules", "the shipped rules are not loaded", "/rules/*.yml"),
    "few_rules": (scraping(rules=FEW_RULES), "warning", "prometheus.rules", "shipped rules are not loaded", "cp "),
    "old_rules": (
        scraping(rules=OLD_RULES),
        *("warning", "prometheus.rules", "loaded rules are not those of this version", "cp "),
    ),
    "rules_twice": (
        scraping(rules={**RULES, "controlcore.yml": RULES["guide.yml"]}),
        *("warning", "prometheus.rules", "loaded twice", "take guide.yml away"),
    ),
    "not_scraped": (
        scraping(is_scraped=False),
        *("error", "prometheus.targets", "scrapes no controlcore-exporter", "- job_name: controlcore-exporter"),
    ),
    "scraped_elsewhere": (
        scraping(is_at_nobody=True),
        *("error", "prometheus.targets", "Prometheus cannot scrape http://127.0.0.1", "correct this target"),
    ),
}
"""How one thing is broken; severity and check of the finding, and words of its problem and of its remedy."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with opened_installation(tmp_path_factory.mktemp("doctor")) as built:
        yield built


def examine(
    installation: Installation,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    change: Change | None = None,
    *,
    asks_prometheus: bool = True,
) -> tuple[int, dict[str, Any]]:
    """Runs doctor with changed settings; returns its status and its JSON output."""
    settings = json.loads(json.dumps(installation.settings))
    if change is not None:
        change(settings)
    path = folder / "exporter.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    asked = ["--prometheus.url", installation.prometheus.url] if asks_prometheus else []
    status = main(["doctor", "--config.file", str(path), *asked, "-o", "json"])
    printed = capsys.readouterr().out
    assert PASSWORD not in printed
    assert WRONG not in printed
    return status, json.loads(printed)


def found(report: Mapping[str, Any], *severities: str) -> list[dict[str, str]]:
    return [each for each in report["findings"] if each["severity"] in severities]


def test_good_installation_has_nothing_to_mend(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, report = examine(installation, tmp_path, capsys)
    assert found(report, "error", "warning", "unknown") == []
    assert status == 0
    assert {"database.grants", "policy.canary", "prometheus.rules", "clock.api"} <= set(report["checks"])


def test_older_prometheus_is_understood(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with PrometheusServer({"prometheus.yml": ""}, Generation.DEBIAN, FLAGS) as prometheus:
        older = replace(installation, prometheus=prometheus)
        older.configure()
        older.wait_until_stored()
        status, report = examine(older, tmp_path, capsys)
    assert found(report, "error", "warning", "unknown") == []
    assert status == 0


@pytest.mark.parametrize("name", CASES)
def test_one_fault_is_named_with_its_remedy_and_no_other(
    name: str, installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    breaking, severity, check, problem, remedy = CASES[name]
    with breaking(installation) as change:
        # Asking each query of the dashboards takes longer than the rest, and no other fault shows in them.
        is_asked = check.startswith("prometheus.")
        status, report = examine(installation, tmp_path, capsys, change, asks_prometheus=is_asked)
    told = found(report, "error", "warning")
    assert [(each["severity"], each["check"]) for each in told] == [(severity, check)], told
    assert problem in told[0]["problem"]
    assert remedy in told[0]["remedy"]
    assert told[0]["evidence"]
    assert status == 1


def test_without_prometheus_what_is_unknown_is_no_success(
    installation: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "exporter.yaml"
    path.write_text(yaml.safe_dump(installation.settings), encoding="utf-8")
    assert main(["doctor", "--config.file", str(path)]) == 3
    assert "UNKNOWN  prometheus: not checked" in capsys.readouterr().out
