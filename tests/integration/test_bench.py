"""One tiny section of the benchmarks, on the real program and on client_python's own server."""

from __future__ import annotations

import pytest

from tools.bench.exporter import growth

pytestmark = pytest.mark.timeout(60)


def test_both_servers_serve_a_page_of_the_size_asked_for() -> None:
    found = growth.measure_size(1000, rounds=1, requests=5)
    assert found.samples >= 1000
    assert found.ours.count == 5
    assert found.ours.body_bytes > 0
    assert found.peer.body_bytes > 0
    assert len(growth.judge([found])) == 2
    assert f"{found.samples:,}" in growth.describe([found])[-1]
