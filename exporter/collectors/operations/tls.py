"""Reads until when the certificates of configured endpoints are valid, by a TLS handshake.

The handshake verifies nothing, so that expired and foreign certificates can be read. Nothing is sent after it.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from chassis.config import Section
from chassis.errors import BackendError, PermanentError, Reason
from chassis.net.sockets import socket_error
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.operations.certificates import chain_not_after, read_certificate
from exporter.metrics import Counter, Kind, Metric
from exporter.settings import Scope, require_distinct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.settings import ExporterSettings
    from exporter.sources.sources import Sources

API = "api"
HTTPS_PORT = 443
READ_BYTES = 65536
REASONS = (
    Reason.TIMEOUT,
    Reason.REFUSED,
    Reason.UNREACHABLE,
    Reason.DNS,
    Reason.CLOSED,
    Reason.TLS,
    Reason.PERMISSION,
    Reason.MALFORMED,
)
"""Every reason why a handshake fails; the counter starts at 0 for each."""

NOT_AFTER = Metric(
    "controlcore_certificate_not_after_timestamp_seconds",
    "Unix time until which the endpoint's certificate is valid; absent when the handshake failed.",
    labels=("endpoint",),
    unit="seconds",
)
CHAIN_NOT_AFTER = Metric(
    "controlcore_certificate_chain_not_after_timestamp_seconds",
    "Unix time until which the endpoint's certificate and all intermediates that it sends are valid.",
    labels=("endpoint",),
    unit="seconds",
)
API_EXPIRY = Metric(
    "controlcore_api_tls_certificate_expiry_timestamp_seconds",
    "Unix time until which the certificate of the API's own https URL is valid.",
    labels=("endpoint",),
    unit="seconds",
)
FAILURES = Metric(
    "controlcore_certificate_handshake_failures_total",
    "Handshakes that failed, by reason.",
    Kind.COUNTER,
    labels=("endpoint", "reason"),
)


class TlsEndpoint(Section):
    """One address that speaks TLS from the first byte on."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Value of the label `endpoint`."""
    host: str = Field(min_length=1, max_length=253)
    """Name or address to connect to."""
    port: int = Field(default=HTTPS_PORT, ge=1, le=65535)
    """Port to connect to."""
    server_name: str = ""
    """Server name sent in the handshake (SNI); empty means `host`."""


class TlsSettings(CollectorSettings):
    """Which endpoints are read, besides every https URL of the API and the bouncers."""

    interval_seconds: float = Field(default=300.0, gt=0)
    """Seconds between two rounds. Certificates change in days; smaller only adds connections."""
    timeout_seconds: float = 20.0
    """Deadline of a round; above one handshake's, of which eight run concurrently."""
    handshake_timeout_seconds: float = Field(default=5.0, gt=0)
    """Deadline of one handshake. Too small misses a distant endpoint."""
    endpoints: tuple[TlsEndpoint, ...] = Field(default=(), max_length=200)
    """Further endpoints: the ingress, a managed database's TLS port, an identity provider."""
    _endpoints_are_distinct = field_validator("endpoints")(require_distinct)


@collector(
    scope=Scope.DEPLOYMENT,
    settings=TlsSettings,
    metrics=(NOT_AFTER, CHAIN_NOT_AFTER, API_EXPIRY, FAILURES),
    always=(FAILURES.name,),
)
class TlsCollector:
    """Makes a TLS handshake with each endpoint; an endpoint without an answer is absent and counted, not a failure."""

    def __init__(self, settings: TlsSettings, endpoints: tuple[TlsEndpoint, ...]) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._places = asyncio.Semaphore(8)
        self._failures = Counter(FAILURES).initialise((item.name, reason) for item in endpoints for reason in REASONS)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: TlsSettings, sources: Sources) -> AsyncIterator[TlsCollector]:
        """Yields the collector; raises NotConfiguredError when no configured address uses TLS."""
        endpoints = endpoints_of(settings, sources.settings)
        if not endpoints:
            raise NotConfiguredError("no address uses TLS: set collectors.tls.endpoints")
        yield cls(settings, endpoints)

    async def collect(self) -> Result:
        """Reads all certificates concurrently."""
        found: dict[str, tuple[float, float]] = {}
        async with asyncio.TaskGroup() as group:
            for endpoint in self._endpoints:
                group.create_task(self._look(endpoint, found), name=f"tls.{endpoint.name}")
        return Result(
            (
                NOT_AFTER.family({(name,): moment for name, (moment, _) in found.items()}),
                CHAIN_NOT_AFTER.family({(name,): moment for name, (_, moment) in found.items()}),
                API_EXPIRY.family({(API,): found[API][0]} if API in found else {}),
                self._failures.family(),
            )
        )

    async def _look(self, endpoint: TlsEndpoint, found: dict[str, tuple[float, float]]) -> None:
        """Records until when one certificate and its chain are valid, or counts why that is unknown."""
        try:
            async with self._places:
                shown = await fetch_chain(endpoint, self._settings.handshake_timeout_seconds)
            chain = [read_certificate(certificate) for certificate in shown]
            found[endpoint.name] = chain[0].not_after, chain_not_after(chain)
        except BackendError as error:
            self._failures.add((endpoint.name, error.reason if error.reason in REASONS else Reason.UNREACHABLE))


def endpoints_of(settings: TlsSettings, configuration: ExporterSettings) -> tuple[TlsEndpoint, ...]:
    """The https URLs of API and bouncers, and the endpoints named; a named one wins over a URL of the same name."""
    urls = {API: configuration.api.url} | {bouncer.name: bouncer.url for bouncer in configuration.bouncers}
    found: dict[str, TlsEndpoint] = {}
    for name, url in urls.items():
        parts = urlsplit(url or "")
        if parts.scheme == "https" and parts.hostname:
            found[name] = TlsEndpoint(name=name, host=parts.hostname, port=parts.port or HTTPS_PORT)
    return tuple((found | {endpoint.name: endpoint for endpoint in settings.endpoints}).values())


async def fetch_chain(endpoint: TlsEndpoint, timeout_seconds: float) -> list[bytes]:
    """The certificates (DER) that the endpoint sends, its own first; raises BackendError when it sends none.

    A later failure does not matter: with TLS 1.2 a server that requires a client certificate refuses before the
    handshake has ended. It waits without blocking the loop; the arithmetic takes about a millisecond.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        tls = _trusting().wrap_bio(incoming, outgoing, server_hostname=endpoint.server_name or endpoint.host)
    except ValueError as error:
        raise PermanentError(Reason.MALFORMED, "not a valid server name") from error
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
            try:
                await _shake_hands(tls, incoming, outgoing, reader, writer)
            finally:
                writer.transport.abort()
    except OSError as error:
        chain = _shown(tls)
        if not chain:
            raise socket_error(error) from error
    except ValueError as error:
        raise PermanentError(Reason.MALFORMED, "not a valid server name") from error
    else:
        chain = _shown(tls)
    if not chain:
        raise PermanentError(Reason.TLS, "the endpoint sends no certificate")
    return chain


async def _shake_hands(
    tls: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """The handshake over a plain connection, so that the certificates are known even if it fails; raises OSError."""
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            await writer.drain()
            data = await reader.read(READ_BYTES)
            if not data:
                raise ConnectionResetError("closed during the handshake") from None
            incoming.write(data)
        else:
            return


def _shown(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates received so far; private until Python 3.13 made it public, present since 3.10."""
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # noqa: SLF001 - see above
    return [] if chain is None else [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain]


def _trusting() -> ssl.SSLContext:
    """A context that verifies nothing and loads nothing from disk."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
