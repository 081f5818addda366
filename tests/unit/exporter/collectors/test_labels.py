from __future__ import annotations

import pytest

from exporter.collectors.labels import SNAPSHOT_COLUMNS, born_events, decision_labels, event_labels, generation_of


@pytest.mark.parametrize(
    ("environment", "decision", "labels"),
    [
        ("sandbox", "PERMIT", ("sandbox", "permit")),
        ("production", "DENY", ("production", "deny")),
        ("production", "ACCESS_DENIED", ("production", "deny")),
        (None, "PERMIT", ("other", "permit")),
        ("staging", "WARNING", ("other", "other")),
        ("sandbox", None, ("sandbox", "other")),
    ],
)
def test_decisions_fall_into_a_closed_set_of_labels(environment, decision, labels):
    assert decision_labels(environment, decision) == labels


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        (("sandbox", "USER_LOGIN_FAILED", "FAILURE"), ("sandbox", "user_login_failed", "failure")),
        (("production", "AI_PII_REDACTION", "WARNING"), ("production", "ai_pii_redaction", "warning")),
        ((None, "x' OR 1=1", "y"), ("other", "other", "other")),
        ((None, None, None), ("other", "other", "other")),
    ],
)
def test_events_fall_into_a_closed_set_of_labels(row, labels):
    assert event_labels(*row) == labels


def test_every_label_set_that_is_born_is_one_that_rows_can_have():
    for environment, event_type, outcome in born_events():
        assert event_labels(environment, event_type.upper(), outcome.upper()) == (environment, event_type, outcome)


@pytest.mark.parametrize(
    ("added", "has_decision_requests", "generation"),
    [
        (set(), True, "2025.10"),
        ({"latency_ms"}, True, "2026.04+"),
        ({"correlation_id", "decision_source"}, True, "2026.04+"),
        (set(), False, "2026.04+"),
        ({"note"}, True, "unknown"),
    ],
)
def test_generation_is_told_by_columns_and_by_the_dropped_table(added, has_decision_requests, generation):
    assert generation_of(SNAPSHOT_COLUMNS | added, has_decision_requests=has_decision_requests) == generation
