from __future__ import annotations

import pytest

from chassis.errors import Reason
from exporter.metrics import Counter, Kind, Metric
from exporter.results.ledger import NOT_SERVING, Ledger
from exporter.results.limits import Admitted
from exporter.results.record import CollectionOutcome, CollectorRecord, CollectorState
from tests.fakes.collector import SIZE, UP, ScriptedCollector, sizes

TRIES = Metric("example_tries_total", "Tries.", Kind.COUNTER)
SPEC = ScriptedCollector([]).spec(metrics=(UP, SIZE, TRIES), always=(UP.name, TRIES.name))
T0 = 1_700_000_000.0


def ledger_with(*names: str, interval: float = 10.0) -> Ledger:
    ledger = Ledger()
    specs = [
        ScriptedCollector([]).spec(name, metrics=SPEC.metrics, always=SPEC.always) for name in names or ("example",)
    ]
    ledger.enrol(CollectorRecord(spec, interval, 5.0, 0.0) for spec in specs)
    return ledger


def succeeded(at: float, *, name: str = "example", **components: bool) -> CollectionOutcome:
    families = (UP.value(1), sizes(a=7), Counter(TRIES).initialise([()]).family())
    return CollectionOutcome(name, T0 + at, at, 0.25, Admitted(families), components)


def raised(at: float, reason: Reason, *, name: str = "example") -> CollectionOutcome:
    return CollectionOutcome(name, T0 + at, at, 0.25, reason=reason, message="it broke")


def values(ledger: Ledger, at: float) -> dict[str, float]:
    found = {}
    for family in ledger.families(at):
        for sample in family.samples:
            name = family.metric.name.removeprefix("controlcore_")
            found[f"{name}{list(sample.labels) or ''}"] = sample.value
    return found


def test_successful_collection_is_published_with_its_health() -> None:
    ledger = ledger_with()
    ledger.finish(succeeded(3.0))
    found = values(ledger, 4.0)
    assert found["example_size_bytes['a']"] == 7
    assert found["scrape_collector_success['example']"] == 1
    assert found["scrape_collector_duration_seconds['example']"] == 0.25
    assert found["scrape_collector_last_run_timestamp_seconds['example']"] == T0 + 3.0
    assert found["scrape_collector_last_success_timestamp_seconds['example']"] == T0 + 3.0
    assert found["scrape_collector_stale['example']"] == 0


def test_number_of_series_stays_while_collections_fail_and_follows_the_next_one() -> None:
    ledger = ledger_with()
    name = "scrape_collector_samples['example']"
    assert name not in values(ledger, 1.0)
    ledger.finish(succeeded(3.0))
    ledger.finish(raised(13.0, Reason.MALFORMED))
    assert values(ledger, 14.0)[name] == 3
    ledger.finish(CollectionOutcome("example", T0 + 23, 23.0, 0.1, Admitted((UP.value(1),))))
    assert values(ledger, 24.0)[name] == 1


def test_version_of_a_component_is_told_while_it_is_fresh() -> None:
    ledger = ledger_with()
    ledger.finish(CollectionOutcome("example", T0, 0.0, 0.1, Admitted(()), versions={"redis": "7.0.15"}))
    name = "component_info['redis', '7.0.15']"
    assert values(ledger, 59.0)[name] == 1
    assert name not in values(ledger, 61.0)
    ledger.finish(CollectionOutcome("example", T0, 70.0, 0.1, Admitted(()), versions={"redis": "7.2.0"}))
    assert [key for key in values(ledger, 71.0) if "component_info" in key] == ["component_info['redis', '7.2.0']"]


def test_before_the_first_collection_success_and_values_are_absent() -> None:
    found = values(ledger_with(), 1.0)
    assert not [name for name in found if "success" in name or "example_" in name or "last_run" in name]


def test_error_counters_are_born_at_zero() -> None:
    found = values(ledger_with(), 1.0)
    assert {name: value for name, value in found.items() if "errors_total" in name} == {
        f"exporter_collector_errors_total['example', '{reason}']": 0
        for reason in ("timeout", "refused", "auth", "internal")
    }


def test_raised_collection_keeps_young_values_and_counts_its_reason() -> None:
    ledger = ledger_with()
    ledger.finish(succeeded(0.0))
    ledger.finish(raised(10.0, Reason.INTERNAL))
    found = values(ledger, 11.0)
    assert found["example_size_bytes['a']"] == 7
    assert found["scrape_collector_success['example']"] == 0
    assert found["scrape_collector_last_run_timestamp_seconds['example']"] == T0 + 10.0
    assert found["scrape_collector_last_success_timestamp_seconds['example']"] == T0
    assert found["exporter_collector_errors_total['example', 'internal']"] == 1


@pytest.mark.parametrize(("interval", "limit"), [(10.0, 60.0), (1.0, 60.0), (30.0, 90.0)])
def test_values_older_than_three_intervals_and_a_minute_are_dropped(interval: float, limit: float) -> None:
    ledger = ledger_with(interval=interval)
    ledger.finish(succeeded(0.0))
    young, old = values(ledger, limit), values(ledger, limit + 0.1)
    assert (young["example_size_bytes['a']"], young["scrape_collector_stale['example']"]) == (7, 0)
    assert ("example_size_bytes['a']" in old, old["scrape_collector_stale['example']"]) == (False, 1)


def test_counter_named_always_survives_staleness() -> None:
    ledger = ledger_with()
    ledger.finish(succeeded(0.0))
    assert values(ledger, 1000.0)["example_tries_total"] == 0


@pytest.mark.parametrize("reason", sorted(NOT_SERVING))
def test_backend_that_does_not_serve_is_down_at_once_and_stays_down(reason: Reason) -> None:
    ledger = ledger_with()
    ledger.finish(succeeded(0.0, database=True))
    ledger.finish(raised(10.0, reason))
    assert (values(ledger, 10.1)["example_up"], values(ledger, 1000.0)["example_up"]) == (0, 0)
    assert (values(ledger, 10.1)["component_up['database']"], values(ledger, 1000.0)["up"]) == (0, 0)


def test_backend_that_never_answered_is_down() -> None:
    ledger = ledger_with()
    ledger.finish(raised(0.0, Reason.REFUSED))
    assert values(ledger, 1.0)["example_up"] == 0


@pytest.mark.parametrize("reason", sorted(set(Reason) - NOT_SERVING))
def test_failure_that_says_nothing_of_the_backend_never_writes_zero(reason: Reason) -> None:
    """A bug of ours is not an outage of the backend: `*_up` stays while it is recent, then it is unknown."""
    ledger = ledger_with()
    ledger.finish(succeeded(0.0, database=True))
    ledger.finish(raised(10.0, reason))
    young, old = values(ledger, 59.0), values(ledger, 61.0)
    assert (young["example_up"], young["component_up['database']"]) == (1, 1)
    assert not {"example_up", "component_up['database']", "up"} & set(old)


def test_partial_failure_publishes_what_it_found_and_drops_the_rest() -> None:
    ledger = ledger_with()
    ledger.finish(succeeded(0.0))
    ledger.finish(CollectionOutcome("example", T0 + 10, 10.0, 0.1, Admitted((UP.value(0),)), {}, Reason.REFUSED, "no"))
    found = values(ledger, 10.1)
    assert (found["example_up"], "example_size_bytes['a']" in found) == (0, False)
    assert found["scrape_collector_success['example']"] == 0


@pytest.mark.parametrize("verdicts", [(True, False), (False, True)])
def test_component_is_down_when_any_fresh_collector_found_it_down(verdicts: tuple[bool, bool]) -> None:
    ledger = ledger_with("one", "two")
    ledger.finish(succeeded(0.0, name="one", database=verdicts[0], redis=True))
    ledger.finish(succeeded(0.0, name="two", database=verdicts[1]))
    found = values(ledger, 1.0)
    assert (found["component_up['database']"], found["component_up['redis']"], found["up"]) == (0, 1, 0)


def test_component_last_success_is_the_begin_of_the_collection_and_survives_the_outage() -> None:
    ledger = ledger_with()
    ledger.finish(succeeded(2.0, database=True))
    ledger.finish(succeeded(12.0, database=False))
    assert values(ledger, 13.0)["component_last_success_timestamp_seconds['database']"] == T0 + 2.0


def test_collection_past_its_deadline_counts_as_timeout_once_while_it_still_runs() -> None:
    ledger = ledger_with()
    ledger.finish(succeeded(0.0, database=True))
    ledger.begin("example", 10.0)
    assert ledger.find_overdue(T0 + 15.9, 15.9) == ()
    overdue = ledger.find_overdue(T0 + 16.1, 16.1)
    assert [(item.collector, item.reason, item.began_monotonic) for item in overdue] == [
        ("example", Reason.TIMEOUT, 10.0)
    ]
    assert ledger.find_overdue(T0 + 17.0, 17.0) == ()
    found = values(ledger, 17.0)
    assert (found["scrape_collector_success['example']"], found["example_up"]) == (0, 0)


def test_unconfigured_collector_publishes_nothing_and_is_not_pending() -> None:
    ledger = ledger_with("one", "two")
    ledger.families(0.0)
    ledger.skip("one", "")
    assert not [name for name in values(ledger, 1000.0) if "one" in name]
    assert [record.state for record in ledger.records()] == [CollectorState.NOT_CONFIGURED, CollectorState.PENDING]
    assert ledger.stale_names(1000.0) == {"two"}


def test_reload_keeps_versions_and_numbers_of_series() -> None:
    ledger = ledger_with()
    ledger.finish(CollectionOutcome("example", T0, 0.0, 0.1, Admitted((UP.value(1),)), versions={"redis": "7.0.15"}))
    before = values(ledger, 1.0)
    ledger.enrol([CollectorRecord(SPEC, 10.0, 5.0, 1.0)])
    assert before == values(ledger, 1.0)


def test_reload_keeps_what_is_known_and_the_counters() -> None:
    ledger = ledger_with()
    ledger.finish(raised(0.0, Reason.REFUSED))
    ledger.finish(succeeded(5.0))
    ledger.enrol([CollectorRecord(SPEC, 10.0, 5.0, 6.0)])
    found = values(ledger, 7.0)
    assert (found["example_size_bytes['a']"], found["exporter_collector_errors_total['example', 'refused']"]) == (7, 1)
    assert values(ledger, 66.0)["scrape_collector_stale['example']"] == 1


def test_dropped_and_truncated_series_are_counted() -> None:
    ledger = ledger_with()
    for at in (0.0, 10.0):
        ledger.finish(CollectionOutcome("example", T0 + at, at, 0.1, Admitted((), dropped=3, truncated=2)))
    found = values(ledger, 11.0)
    assert found["exporter_dropped_series_total['example']"] == 6
    assert found["exporter_truncated_labels_total['example']"] == 4


def test_what_did_not_change_about_collectors_is_the_same_object() -> None:
    """It is then neither compared nor written again."""
    ledger = ledger_with("example", "other")
    ledger.finish(succeeded(100.0))
    before = {family.metric.name: family for family in ledger.families(101.0)}
    ledger.finish(succeeded(110.0))
    after = {family.metric.name: family for family in ledger.families(111.0)}
    prefix = "controlcore_scrape_collector_"
    same = {name.removeprefix(prefix) for name, family in after.items() if name in before and before[name] is family}
    assert {"success", "interval_seconds", "breaker_open", "stale"} <= same
    assert {"last_run_timestamp_seconds", "last_success_timestamp_seconds"} & same == set()
