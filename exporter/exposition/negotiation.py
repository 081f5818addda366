"""Reads which format a scraper accepts, and whether compressed. No I/O.

RFC 9110, 12.5.1 and 12.5.3: a weight of 0 means "not this one", a missing weight means 1, and the most specific range
that names a type decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from exporter.exposition.text_format import CONTENT_TYPE, OPENMETRICS_TYPE

OPENMETRICS_RANGE = "application/openmetrics-text"
OPENMETRICS_VERSIONS = frozenset({"", "1.0.0"})
TEXT_RANGE = "text/plain"
TEXT_VERSIONS = frozenset({"", "0.0.4"})
WILDCARDS = {TEXT_RANGE: ("text/*", "*/*"), OPENMETRICS_RANGE: ("application/*",)}
"""`*/*` requests the usual format, which is the text format, and does not request OpenMetrics."""
REMEMBERED_HEADERS = 64


@dataclass(frozen=True, slots=True)
class Form:
    """One of the four forms of a page; the requested forms are prepared."""

    is_openmetrics: bool
    is_gzip: bool

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        return OPENMETRICS_TYPE if self.is_openmetrics else CONTENT_TYPE


@lru_cache(maxsize=REMEMBERED_HEADERS)
def choose(accept: str, accept_encoding: str) -> Form:
    """The form that these two headers request; scrapers send the same ones each time."""
    return Form(prefers_openmetrics(accept), accepts_gzip(accept_encoding))


def prefers_openmetrics(header: str) -> bool:
    """Whether an Accept header puts OpenMetrics 1.0 by name at least as high as the text format."""
    weights = _weights(header)
    wanted = _weight(weights, OPENMETRICS_RANGE, OPENMETRICS_VERSIONS)
    return wanted > 0 and wanted >= _weight(weights, TEXT_RANGE, TEXT_VERSIONS)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip: named or `*`, and not with weight 0."""
    weights = {name: weight for name, _, weight in _weights(header)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(weights: list[tuple[str, str, float]], wanted: str, versions: frozenset[str]) -> float:
    """The weight of a format: of its best named version, else of the narrowest wildcard, else 0."""
    named = [weight for name, version, weight in weights if name == wanted and version in versions]
    if named:
        return max(named)
    for wildcard in WILDCARDS[wanted]:
        found = [weight for name, _, weight in weights if name == wildcard]
        if found:
            return max(found)
    return 0.0


def _weights(header: str) -> list[tuple[str, str, float]]:
    """Each range of the header with its parameter `version` and its weight; an unreadable weight is 0."""
    found = []
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        version, weight = "", 1.0
        for parameter in parameters:
            key, _, value = (piece.strip() for piece in parameter.partition("="))
            if key == "version":
                version = value.strip('"')
            elif key == "q":
                weight = _number(value)
        if name:
            found.append((name, version, weight))
    return found


def _number(text: str) -> float:
    """A weight between 0 and 1; 0 for an invalid one."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
