"""Probes of backends have short enough deadlines: `*_up 0` within an interval and two seconds."""

from __future__ import annotations

import pytest

from exporter.collectors.control_plane.api import ApiCollectorSettings
from exporter.collectors.policy_engine.opa import OpaSettings
from exporter.collectors.postgres.postgres_canary import PostgresCanarySettings
from exporter.collectors.redis.redis import RedisCollectorSettings
from exporter.exposition.publisher import SETTLE_SECONDS

GRACE_SECONDS = 2.0
RENDERING_SECONDS = 0.1


@pytest.mark.parametrize(
    ("settings", "deadline"),
    [
        (ApiCollectorSettings(), "connect_timeout_seconds"),
        (ApiCollectorSettings(), "health_timeout_seconds"),
        (OpaSettings(), "health_timeout_seconds"),
        (PostgresCanarySettings(), "probe_timeout_seconds"),
        (RedisCollectorSettings(), "probe_timeout_seconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_deadline_leaves_time_to_publish_what_hangs(settings: object, deadline: str) -> None:
    assert getattr(settings, deadline) + SETTLE_SECONDS + RENDERING_SECONDS <= GRACE_SECONDS
