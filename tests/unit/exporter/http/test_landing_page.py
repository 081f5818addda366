from __future__ import annotations

from pathlib import Path

import pytest

from chassis.errors import Reason
from exporter.commands.configuration import load_settings
from exporter.http.landing_page import PageFacts, age, page, targets
from exporter.results.ledger import Ledger
from exporter.results.limits import Admitted
from exporter.results.record import AccessRefusal, CollectionOutcome, CollectorRecord
from exporter.settings import ExporterSettings
from tests.fakes.collector import UP, ScriptedCollector

CONFIG = """
database: {url: 'postgresql://reader:hunter2@db.example:6432/control_core_db?sslmode=require'}
redis: {url: 'rediss://:hunter2@cache.example:6380/3'}
api: {url: 'http://api.example:8000'}
bouncers: [{name: pep-1, url: 'http://bouncer.example:8080', environment: sandbox}]
kubernetes: {namespace: cc, workloads: [control-plane-api, opal-server]}
"""


@pytest.fixture
def settings(tmp_path: Path) -> ExporterSettings:
    file = tmp_path / "exporter.yml"
    file.write_text(CONFIG)
    return load_settings((), file)


def written(settings: ExporterSettings, ledger: Ledger, *, is_reload_successful: bool = True) -> str:
    components = ledger.component_states(100.0)
    return page(PageFacts(settings, ledger.records(), 100.0, 0.0, 321, is_reload_successful, components))


def ledger_of(*names: str) -> Ledger:
    ledger = Ledger()
    ledger.enrol(CollectorRecord(ScriptedCollector([]).spec(name), 10.0, 5.0, 95.0) for name in names)
    return ledger


def test_targets_are_named_without_users_and_passwords(settings: ExporterSettings) -> None:
    assert targets(settings) == (
        ("control-plane API", "http://api.example:8000"),
        ("PostgreSQL", "db.example:6432/control_core_db"),
        ("Redis", "cache.example:6380/3"),
        ("bouncer pep-1 (sandbox)", "http://bouncer.example:8080"),
        ("Kubernetes", "namespace cc: control-plane-api, opal-server"),
    )


def test_page_holds_no_secret(settings: ExporterSettings) -> None:
    text = written(settings, ledger_of())
    assert [word for word in ("hunter2", "reader") if word in text] == []


def test_page_shows_each_collectors_state_age_and_last_error(settings: ExporterSettings) -> None:
    ledger = ledger_of("fine", "broken", "waiting", "absent")
    ledger.finish(CollectionOutcome("fine", 0.0, 88.0, 0.125, Admitted((UP.value(1),))))
    ledger.finish(CollectionOutcome("broken", 0.0, 97.0, 0.5, reason=Reason.REFUSED, message="<b>nobody</b> listens"))
    ledger.skip("absent", "no Redis is configured: set redis.url")
    text = written(settings, ledger)
    assert '<span class="ok">ok</span></td><td>12 s ago</td><td>0.125 s</td><td>10 s</td>' in text
    assert "refused: &lt;b&gt;nobody&lt;/b&gt; listens" in text
    assert "<td>no Redis is configured: set redis.url</td>" in text, "the missing setting is named"
    assert [state for state in ("failing", "pending", "not configured") if f">{state}</span>" not in text] == []


def test_component_that_is_down_is_not_taken_for_its_collectors_state(settings: ExporterSettings) -> None:
    ledger = ledger_of("probe", "other")
    admitted = Admitted((UP.value(0),))
    ledger.finish(CollectionOutcome("probe", 0.0, 98.0, 0.1, admitted, components={"api": False, "redis": True}))
    ledger.finish(CollectionOutcome("other", 0.0, 98.0, 0.1, admitted, components={"redis": True}))
    text = written(settings, ledger)

    assert '<code>api</code></td><td><span class="failing">down</span>' in text
    assert '<code>redis</code></td><td><span class="ok">up</span>' in text
    assert '<code>probe</code></td><td><span class="ok">ok</span>' in text
    assert "<td>unknown</td>" not in text


def test_components_of_which_nothing_is_known_are_unknown(settings: ExporterSettings) -> None:
    row = "<tr><td>-</td><td>unknown</td><td>no collector has reported a component yet</td></tr>"
    assert row in written(settings, ledger_of("probe"))


def test_component_that_refuses_our_access_is_unknown_and_says_which_credential(settings: ExporterSettings) -> None:
    """Its row vanished while the collector stayed ok, so the page showed no fault."""
    ledger = ledger_of("probe")
    refused = {"database": AccessRefusal(Reason.AUTH, "no password; our setting <database.url>")}
    ledger.finish(CollectionOutcome("probe", 0.0, 98.0, 0.1, Admitted((UP.value(1),)), refused=refused))
    row = (
        '<code>database</code></td><td><span class="stale">unknown</span></td><td>our own access is refused: auth: no '
    )
    assert f"{row}password; our setting &lt;database.url&gt;</td>" in written(settings, ledger)


def test_stale_collector_is_marked(settings: ExporterSettings) -> None:
    ledger = ledger_of("old")
    ledger.finish(CollectionOutcome("old", 0.0, 10.0, 0.1, Admitted((UP.value(1),))))
    assert '<span class="stale">ok, stale</span>' in written(settings, ledger)


def test_rejected_configuration_is_told(settings: ExporterSettings) -> None:
    told = "the previous one is in force"
    good, bad = (written(settings, ledger_of(), is_reload_successful=is_good) for is_good in (True, False))
    assert (told in good, told in bad) == (False, True)


def test_page_without_any_target_says_what_to_set() -> None:
    assert "DATABASE_URL" in str(targets(ExporterSettings()))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12, "12 s"), (119, "119 s"), (180, "3 min"), (18000, "5 h"), (200000, "2 d")],
)
def test_age_is_for_people(seconds: float, text: str) -> None:
    assert text == age(seconds)
