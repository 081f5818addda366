"""Each closed set of label values has every value that the real product writes (tests/fixtures/product/values.yaml)."""

from __future__ import annotations

import pytest

from exporter.collectors import labels
from exporter.collectors.control_plane import pip_rows
from exporter.collectors.product_tables import policy_states, policy_sync, repository
from tests.fakes.product_facts import read_facts

VALUES = read_facts("values")
ENVIRONMENTS = {*labels.ENVIRONMENTS, labels.BOTH}
POLICY_STATUSES = {*policy_states.STATUSES, policy_states.NOT_PROMOTED}


@pytest.mark.parametrize(
    ("column", "known"),
    [
        ("audit_logs.event_type", labels.EVENT_TYPES),
        ("audit_logs.outcome", labels.OUTCOMES),
        ("audit_logs.environment", ENVIRONMENTS),
        ("policies.environment", ENVIRONMENTS),
        ("policies.status", policy_states.STATUSES),
        ("policies.sandbox_status", POLICY_STATUSES),
        ("policies.production_status", POLICY_STATUSES),
        ("pip_connections.status", {status.upper() for status in pip_rows.STATUSES}),
        ("pip_connections.health_status", pip_rows.HEALTHS),
        ("github_configuration.connection_status", repository.STATUSES),
        ("bouncer_sync_history.sync_type", policy_sync.TYPES),
        ("bouncer_sync_history.status", policy_sync.STATUSES),
    ],
)
def test_every_value_that_the_product_writes_is_known(column: str, known: frozenset[str]) -> None:
    """P5: an enumeration is held against the product, not against its documents."""
    assert set(VALUES[column]) <= set(known)


def test_every_column_of_the_facts_is_compared() -> None:
    (mark,) = test_every_value_that_the_product_writes_is_known.pytestmark  # type: ignore[attr-defined]
    assert {column for column, _ in mark.args[1]} == set(VALUES)


def test_every_status_of_the_enumerated_type_is_known() -> None:
    """P11: all four statuses of an information point, not ACTIVE alone."""
    assert {status.upper() for status in pip_rows.STATUSES} == set(
        read_facts("tables")["enumerations"]["connectionstatus"]
    )
