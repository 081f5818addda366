"""Reads pages of servers on loopback."""

from __future__ import annotations

import urllib.request
from typing import cast

from prometheus_client.parser import text_string_to_metric_families

from tools.slowness import scaled

TIMEOUT_SECONDS = 5.0


def read_url(url: str, *, headers: dict[str, str] | None = None) -> bytes:
    """The body of a GET on loopback; raises OSError."""
    request = urllib.request.Request(url, headers=headers or {})
    with urllib.request.urlopen(request, timeout=scaled(TIMEOUT_SECONDS)) as answer:
        return cast("bytes", answer.read())


def read_page(url: str) -> dict[str, float]:
    """An exporter's page as `name{label="value",…}` → value, with labels in their order on the page."""
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(read_url(url).decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def is_answering(url: str) -> bool:
    """Whether a GET gets a 2xx now."""
    try:
        read_url(url)
    except (OSError, urllib.error.HTTPError):
        return False
    return True
