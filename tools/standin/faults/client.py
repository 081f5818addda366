"""Switching the faults of a running program through its admin route."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import cast

from tools.slowness import scaled

TIMEOUT_SECONDS = 5.0

State = dict[str, object]


def request_fault(admin_url: str, method: str, query: str = "", body: dict[str, object] | None = None) -> State:
    """Send one request to the admin route and return its answer; raises ValueError with its text when it refuses."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{admin_url}/_fault{query}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=scaled(TIMEOUT_SECONDS)) as answer:
            return cast("State", json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            raise ValueError(error.read().decode()) from error


def switch_on(admin_url: str, kind: str, **settings: float | str) -> State:
    """Switch a fault on; settings: seconds, delay_seconds, status, millicores, path."""
    return request_fault(admin_url, "POST", body={"kind": kind, **settings})


def clear(admin_url: str, kind: str | None = None) -> State:
    """Switch one kind of fault off, or all of them."""
    return request_fault(admin_url, "DELETE", "" if kind is None else f"?kind={kind}")


def look(admin_url: str) -> State:
    """Return the component, its faults and its counters (cache_clear, policies_sync, policy_update, …)."""
    return request_fault(admin_url, "GET")
