"""Puts together who tells people: the herald, an Alertmanager where one is configured, Events where Kubernetes is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from remediations.announcing import Announcer, Poster
from remediations.engine.context import Desk
from remediations.events import Creator, EventWriter
from remediations.herald import Herald, Teller
from remediations.settings import RemediatorSettings

Work = Callable[[], Coroutine[Any, Any, None]]


def make_herald(
    desk: Desk, settings: RemediatorSettings, http: Poster, api: Creator | None
) -> tuple[Herald, Mapping[str, Work]]:
    """The herald, and what has to run beside the engine until the end: task name → work."""
    tellers: list[Teller] = []
    works: dict[str, Work] = {}
    if settings.alertmanager is not None and settings.alertmanager.announce:
        announcer = Announcer(http, settings.alertmanager, desk.clock, desk.telemetry)
        tellers.append(announcer)
        works["announcer"] = announcer.run
    if api is not None and settings.kubernetes is not None:
        seconds = settings.kubernetes.timeout_seconds
        writer = EventWriter(api, desk.clock, desk.telemetry, timeout_seconds=seconds, instance=socket.gethostname())
        tellers.append(writer)
        works["events"] = writer.run
    herald = Herald(desk.journal, desk.policies, desk.clock, tellers)
    return herald, works | {"herald": herald.run}
