"""The part of Alertmanager's configuration that decides which receiver gets an alert. Pure.

GET /api/v2/status shows the configuration without secrets, and in newer versions without the addresses of webhooks. The
matching follows dispatch.Route.Match in prometheus/alertmanager.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import yaml

from chassis.documents import duration_seconds, load_yaml
from chassis.errors import PermanentError, Reason
from chassis.kubernetes.objects import reading
from remediations.core.policies.matchers import Matcher, MatcherError, MatchType, matches_all, parse_matchers

HIDDEN = "<secret>"
"""Alertmanager's placeholder for a secret."""
WEBHOOK_PATH = "/api/v1/alerts"
"""The path on which the remediator receives deliveries."""
OWN_NAME = "remediator"
"""Part of the name of a receiver with a hidden address: the chart and the documentation call it
controlcore-remediator."""
INTEGRATIONS = "_configs"
"""Suffixes of a receiver's lists of destinations."""
CREDENTIALS = frozenset({"authorization", "basic_auth", "bearer_token", "bearer_token_file", "oauth2"})
CERTIFICATES = frozenset({"cert", "cert_file", "cert_ref"})
"""Fields of an http_config, and of its tls_config, that authenticate the sender."""
GROUP_WAIT, GROUP_INTERVAL, REPEAT_INTERVAL = 30.0, 300.0, 14400.0
"""Alertmanager's defaults (dispatch.DefaultRouteOpts)."""


@dataclass(frozen=True, slots=True)
class AlertReceiver:
    """The destinations of one receiver."""

    name: str
    webhooks: tuple[str, ...] = ()
    """Their addresses; HIDDEN for one that is not shown."""
    others: tuple[str, ...] = ()
    """The kinds of its other integrations, one entry for each."""
    has_credential: bool = True
    """Whether each webhook sends a credential."""

    @property
    def is_own(self) -> bool:
        """Whether an address is known to be the remediator's."""
        return any(urlsplit(url).path.rstrip("/").endswith(WEBHOOK_PATH) for url in self.webhooks)

    @property
    def integrations(self) -> int:
        """The number of its destinations."""
        return len(self.webhooks) + len(self.others)


@dataclass(frozen=True, slots=True)
class AlertRoute:
    """One node of the tree, with inherited values filled in."""

    receiver: str
    matchers: tuple[Matcher, ...]
    is_continued: bool
    children: tuple[AlertRoute, ...]
    group_wait_seconds: float
    group_interval_seconds: float
    repeat_interval_seconds: float
    time_intervals: tuple[str, ...]
    """Names of the time intervals outside or inside of which it sends no notification."""


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """An inhibition rule: which alerts it mutes while a source fires."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouteTree:
    """The part of a configuration that decides which receivers get an alert."""

    root: AlertRoute
    receivers: Mapping[str, AlertReceiver]
    inhibit_rules: tuple[InhibitRule, ...] = ()

    def own(self) -> frozenset[str]:
        """Names of the receivers that send to the remediator: by their address, or by name if addresses are hidden.

        If neither is known, every receiver with a hidden address may be the remediator's.
        """
        hidden = {name for name, receiver in self.receivers.items() if HIDDEN in receiver.webhooks}
        return self._known() or frozenset(hidden)

    def _known(self) -> frozenset[str]:
        """Those identified by address or name; empty if none is."""
        shown = {name for name, receiver in self.receivers.items() if receiver.is_own}
        hidden = {name for name, receiver in self.receivers.items() if HIDDEN in receiver.webhooks}
        return frozenset(shown or {name for name in hidden if OWN_NAME in name.lower()})

    def reached(self, labels: Mapping[str, str]) -> Reached:
        """The receivers of an alert with these labels."""
        routes = walk(self.root, labels)
        found = [self.receivers.get(route.receiver, AlertReceiver(route.receiver)) for route in routes]
        own = self.own()
        # One receiver may send to the remediator and to people; if several may be the remediator's, exactly one is.
        ours = sum(item.name in own for item in found)
        people = sum(item.integrations for item in found) - (ours if self._known() else min(ours, 1))
        return Reached(routes, tuple(dict.fromkeys(item.name for item in found)), own, people)


@dataclass(frozen=True, slots=True)
class Reached:
    """The receivers of one alert."""

    routes: tuple[AlertRoute, ...]
    receivers: tuple[str, ...]
    """Names, in the order of matching."""
    own: frozenset[str]
    people: int
    """Destinations other than the remediator."""

    @property
    def own_routes(self) -> tuple[AlertRoute, ...]:
        """The routes that lead to the remediator."""
        return tuple(route for route in self.routes if route.receiver in self.own)


def read_tree(text: str) -> RouteTree:
    """The tree of a configuration file; raises PermanentError(malformed) for anything else."""
    try:
        document = load_yaml(text, is_strict=False)
    except yaml.YAMLError as error:
        raise PermanentError(Reason.MALFORMED, "Alertmanager's configuration is not YAML") from error
    with reading("configuration of Alertmanager"):
        try:
            defaults = (document.get("global") or {}).get("http_config") or {}
            receivers = [_receiver(item, defaults) for item in document.get("receivers") or ()]
            rules = tuple(_inhibit_rule(item) for item in document.get("inhibit_rules") or ())
            return RouteTree(_route(document["route"], None), {item.name: item for item in receivers}, rules)
        except MatcherError as error:
            raise PermanentError(Reason.MALFORMED, f"a matcher of Alertmanager's routes: {error}") from error


def walk(route: AlertRoute, labels: Mapping[str, str]) -> tuple[AlertRoute, ...]:
    """The leaf routes that an alert matches below this one; the route itself counts only if no child matches."""
    if not matches_all(route.matchers, labels):
        return ()
    found: list[AlertRoute] = []
    for child in route.children:
        below = walk(child, labels)
        found += below
        if below and not child.is_continued:
            break
    return tuple(found) or (route,)


def _receiver(item: Mapping[str, Any], defaults: Mapping[str, Any]) -> AlertReceiver:
    """One receiver; a webhook whose address is in a file counts as hidden. `defaults` are the global http_config."""
    hooks = item.get("webhook_configs") or ()
    kinds = {key.removesuffix(INTEGRATIONS): value for key, value in item.items() if key.endswith(INTEGRATIONS)}
    others = tuple(kind for kind, value in kinds.items() if kind != "webhook" for _ in value or ())
    has_credential = all(_has_credential(hook.get("http_config") or defaults) for hook in hooks)
    webhooks = tuple(str(hook.get("url") or HIDDEN) for hook in hooks)
    return AlertReceiver(str(item["name"]), webhooks, others, has_credential)


def _has_credential(http_config: Mapping[str, Any]) -> bool:
    """Whether an http_config authenticates the sender."""
    return bool(CREDENTIALS & http_config.keys() or (http_config.get("tls_config") or {}).keys() & CERTIFICATES)


def _route(item: Mapping[str, Any], parent: AlertRoute | None) -> AlertRoute:
    """One route with its children."""
    inherited = (GROUP_WAIT, GROUP_INTERVAL, REPEAT_INTERVAL)
    if parent is not None:
        inherited = (parent.group_wait_seconds, parent.group_interval_seconds, parent.repeat_interval_seconds)
    names = ("group_wait", "group_interval", "repeat_interval")
    times = [
        default if item.get(name) is None else duration_seconds(str(item[name]))
        for name, default in zip(names, inherited, strict=True)
    ]
    receiver = item.get("receiver") or (parent.receiver if parent is not None else "")
    intervals = (*(item.get("mute_time_intervals") or ()), *(item.get("active_time_intervals") or ()))
    matchers = _matchers(item, "")
    is_continued = bool(item.get("continue"))
    own = AlertRoute(
        str(receiver), matchers, is_continued, (), times[0], times[1], times[2], tuple(map(str, intervals))
    )
    return replace(own, children=tuple(_route(child, own) for child in item.get("routes") or ()))


def _inhibit_rule(item: Mapping[str, Any]) -> InhibitRule:
    """One rule of `inhibit_rules`."""
    return InhibitRule(_matchers(item, "source_"), _matchers(item, "target_"), tuple(map(str, item.get("equal") or ())))


def _matchers(item: Mapping[str, Any], prefix: str) -> tuple[Matcher, ...]:
    """The matchers of a route or rule, in the new and in the two older forms."""
    found = [matcher for text in _texts(item.get(f"{prefix}matchers")) for matcher in parse_matchers(text)]
    for key, kind in ((f"{prefix}match", MatchType.EQUAL), (f"{prefix}match_re", MatchType.REGEX)):
        found += [Matcher(str(label), kind, str(value)) for label, value in (item.get(key) or {}).items()]
    return tuple(found)


def _texts(value: Any) -> Iterable[str]:
    """A list of texts, or a single text in its place."""
    return (value,) if isinstance(value, str) else [str(item) for item in value or ()]
