"""Reads the policy bridge: the OPAL server and its clients, and whether each OPAL client has its policies.

A client stays healthy when its link to the server breaks, so its own report and the server's count of clients are both
published.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from chassis.config import Section, read_secret
from chassis.errors import BackendError, ConfigError, PermanentError, Reason
from chassis.http.call import Call
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.metrics import Metric
from exporter.settings import BaseUrl, Scope, require_distinct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from chassis.http.call import Response
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

NOT_IMPLEMENTED = 501
UNAVAILABLE = 503
FRESH_CONNECTION = {"Connection": "close"}
"""A kept connection would always reach the same replica behind a Service, and its end would be a false alarm."""
STATISTICS, LIST = "/stats", "/pubsub_client_info"
POLICY_TOPICS = "policy:"
CLIENT_LABEL = ("client",)

UP = Metric("controlcore_opal_up", "Whether the OPAL server's /healthcheck answered with success.")
BROADCASTER_FAILING = Metric(
    "controlcore_opal_broadcaster_failing",
    "Whether the OPAL server reports a broken broadcast channel; absent when it reports nothing: the channel "
    "works or is not checked.",
)
STATISTICS_ENABLED = Metric(
    "controlcore_opal_statistics_enabled",
    "Whether the OPAL server counts its clients (OPAL_STATISTICS_ENABLED); absent when it does not say.",
)
CLIENTS = Metric(
    "controlcore_opal_server_clients",
    "Clients connected to the OPAL server: the larger of its statistics and its list of connections. Absent "
    "when it does not count clients. Also absent when it counted none and has no list: only clients "
    "configured to report statistics are counted.",
)
SERVERS = Metric(
    "controlcore_opal_server_replicas", "OPAL servers that know of each other; absent when the number of clients is."
)
CLIENT_UP = Metric(
    "controlcore_opal_client_up", "Whether the OPAL client's /healthy answered with success.", labels=CLIENT_LABEL
)
CLIENT_ONLINE = Metric(
    "controlcore_opal_client_online",
    "Whether the OPAL client says that it is connected to its server; absent when it does not say.",
    labels=CLIENT_LABEL,
)
CLIENT_READY = Metric(
    "controlcore_opal_client_ready",
    "Whether the OPAL client has stored a set of policies and a set of data (/ready); also 0 when its "
    "policies are loaded but no data source is configured; absent without an answer.",
    labels=CLIENT_LABEL,
)


class OpalClientTarget(Section):
    """One OPAL client."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Value of the label `client`."""
    url: BaseUrl
    """Base URL, e.g. http://opal-client:7000."""


class OpalSettings(CollectorSettings):
    """Where OPAL is. Without a server and without clients the collector is not configured."""

    interval_seconds: float = Field(default=15.0, gt=0)
    """Seconds between two rounds. Policies travel in seconds; smaller only adds requests."""
    timeout_seconds: float = 8.0
    """Deadline of a round; above two requests', which follow one another."""
    request_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one request. OPAL answers from memory; too small reports a busy server as down."""
    server_url: BaseUrl | None = None
    """Base URL of the OPAL server, e.g. http://opal-server:7002."""
    token_file: Path | None = None
    """File with the bearer token that /stats requires when OPAL runs with keys; read again at every round."""
    clients: tuple[OpalClientTarget, ...] = Field(default=(), max_length=200)
    """The OPAL clients, usually one beside each OPA."""
    _clients_are_distinct = field_validator("clients")(require_distinct)


@dataclass(slots=True)
class SeenStatistics:
    """What the server's statistics showed so far."""

    have_counted: bool = False
    """Whether they ever counted a client: then a 0 is reliable."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=OpalSettings,
    metrics=(UP, BROADCASTER_FAILING, STATISTICS_ENABLED, CLIENTS, SERVERS, CLIENT_UP, CLIENT_ONLINE, CLIENT_READY),
    always=(UP.name, CLIENT_UP.name),
)
class OpalCollector:
    """Reads the server's /healthcheck, /stats and /pubsub_client_info, and each client's /healthy and /ready.

    One that is down is a finding.
    """

    def __init__(self, settings: OpalSettings, sources: Sources) -> None:
        self._settings = settings
        self._http = sources.http
        self._places = asyncio.Semaphore(8)
        self._statistics = sources.kept.of(SeenStatistics, "opal.statistics", settings.server_url)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: OpalSettings, sources: Sources) -> AsyncIterator[OpalCollector]:
        """Yields the collector; raises NotConfiguredError when neither a server nor a client is configured."""
        if settings.server_url is None and not settings.clients:
            raise NotConfiguredError("no OPAL is configured: set collectors.opal.server_url or collectors.opal.clients")
        yield cls(settings, sources)

    async def collect(self) -> Result:
        """Queries all of them concurrently; the round fails if /stats fails while /healthcheck is answered."""
        async with asyncio.TaskGroup() as group:
            server = group.create_task(self._examine_server(), name="opal.server")
            clients = {
                client.name: group.create_task(self._examine_client(client), name=f"opal.{client.name}")
                for client in self._settings.clients
            }
        families, failure = server.result()
        states = {(name,): task.result() for name, task in clients.items()}
        return Result(
            (
                *families,
                CLIENT_UP.family({labels: state[0] for labels, state in states.items()}),
                CLIENT_ONLINE.family({labels: state[1] for labels, state in states.items() if state[1] is not None}),
                CLIENT_READY.family({labels: state[2] for labels, state in states.items() if state[2] is not None}),
            ),
            failure=failure,
        )

    async def _examine_server(self) -> tuple[tuple[Family, ...], BackendError | None]:
        """The server's families, and why its statistics could not be read."""
        if self._settings.server_url is None:
            return (), None
        health = await self._ask(self._settings.server_url, "/healthcheck")
        families = read_health(health)
        if health is None or not _is_ok(health):
            return families, None
        try:
            return (*families, *await self._read_statistics(self._settings.server_url)), None
        except BackendError as error:
            return families, error

    async def _read_statistics(self, url: str) -> tuple[Family, ...]:
        """The content of /stats; raises BackendError without one."""
        headers = dict(FRESH_CONNECTION)
        if self._settings.token_file is not None:
            try:
                token = await asyncio.to_thread(read_secret, self._settings.token_file, "collectors.opal.token_file")
            except ConfigError as error:
                raise PermanentError(Reason.AUTH, str(error)) from error
            headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._get(f"{url}{path}", headers), name=path) for path in (STATISTICS, LIST)]
        statistics, connections = (task.result() for task in tasks)
        if isinstance(statistics, BackendError):
            raise statistics
        listed = None if isinstance(connections, BackendError) else count_connections(connections)
        families, counted = read_statistics(statistics, listed, may_be_none=self._statistics.have_counted)
        self._statistics.have_counted |= bool(counted)
        return families

    async def _get(self, url: str, headers: Mapping[str, str]) -> Response | BackendError:
        """The answer to one GET, or the reason for its absence."""
        try:
            async with self._places:
                return await self._http.send(Call(url, self._settings.request_timeout_seconds, headers=headers))
        except BackendError as error:
            return error

    async def _examine_client(self, client: OpalClientTarget) -> tuple[bool, bool | None, bool | None]:
        """Whether a client is up, online and ready; None is unknown."""
        async with asyncio.TaskGroup() as group:
            health = group.create_task(self._ask(client.url, "/healthy"), name=f"opal.{client.name}.healthy")
            ready = group.create_task(self._ask(client.url, "/ready"), name=f"opal.{client.name}.ready")
        return read_client(health.result(), ready.result())

    async def _ask(self, url: str, path: str) -> Response | None:
        """The answer to one GET; None without an answer."""
        try:
            async with self._places:
                return await self._http.send(
                    Call(f"{url}{path}", self._settings.request_timeout_seconds, headers=FRESH_CONNECTION)
                )
        except BackendError:
            return None


def read_health(answer: Response | None) -> tuple[Family, ...]:
    """Whether the server is up, and whether it reports its broadcaster as broken (`broadcaster` other than healthy).

    OPAL writes `broadcaster` only into a 503 (opal_server/server.py, healthcheck), older servers never; a 503 without
    it comes from a proxy, or from a server with another fault.
    """
    if answer is None:
        return (UP.value(0),)
    said = _object(answer).get("broadcaster")
    is_telling = isinstance(said, str) and (_is_ok(answer) or answer.status == UNAVAILABLE)
    is_failing = said != "healthy" if is_telling else None
    return (UP.value(_is_ok(answer)), BROADCASTER_FAILING.value(is_failing))


def read_statistics(
    answer: Response, listed: int | None, *, may_be_none: bool
) -> tuple[tuple[Family, ...], int | None]:
    """The counts of /stats, and the clients it counted; 501 is an answer too: statistics are off.

    `listed` are the connections that the server lists (those of the worker that answered), None without a list.
    If the statistics never counted a client (`may_be_none` False), a 0 means nothing. Raises BackendError for any other
    answer.
    """
    if answer.status == NOT_IMPLEMENTED:
        return (STATISTICS_ENABLED.value(0),), None
    body = answer.require_ok().json()
    counts = [body.get(name) for name in ("client_count", "server_count")] if isinstance(body, dict) else [None]
    counted = counts[0]
    if counted is None or not _is_count(counted):
        raise PermanentError(Reason.MALFORMED, "/stats has no client_count")
    clients = None if listed is None and not counted and not may_be_none else max(counted, listed or 0)
    servers = counts[1] if _is_count(counts[1]) else None
    return (STATISTICS_ENABLED.value(1), CLIENTS.value(clients), SERVERS.value(servers)), counted


def count_connections(answer: Response) -> int | None:
    """How many clients /pubsub_client_info lists; None if the server lacks it or the answer is not a mapping.

    A client of OPAL 0.9.9 has a connection for policies (topics that begin with `policy:`) and one for data.
    """
    if not _is_ok(answer):
        return None
    try:
        body = answer.json()
    except BackendError:
        return None
    if not isinstance(body, dict):
        return None
    of_policies = sum(_is_of_policies(connection) for connection in body.values())
    return max(of_policies, len(body) - of_policies)


def _is_of_policies(connection: object) -> bool:
    """Whether a connection of the list is subscribed to policies."""
    topics = connection.get("subscribed_topics") if isinstance(connection, dict) else None
    return isinstance(topics, list) and any(str(topic).startswith(POLICY_TOPICS) for topic in topics)


def read_client(health: Response | None, ready: Response | None) -> tuple[bool, bool | None, bool | None]:
    """Up, online and ready, from /healthy and /ready; ready follows only from the status, 200 or 503."""
    online = None if health is None else _object(health).get("online")
    is_ready = None if ready is None or not (_is_ok(ready) or ready.status == UNAVAILABLE) else _is_ok(ready)
    return health is not None and _is_ok(health), online if isinstance(online, bool) else None, is_ready


def _is_ok(answer: Response) -> bool:
    """Whether the status is 2xx."""
    return 200 <= answer.status < 300  # noqa: PLR2004 - the 2xx class


def _object(answer: Response) -> dict[str, Any]:
    """The body as a JSON object; empty if it is anything else."""
    try:
        body = answer.json()
    except BackendError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_count(value: object) -> bool:
    """Whether a JSON value is a whole number that can count something."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
