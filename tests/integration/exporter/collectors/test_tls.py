"""Real handshakes with servers whose certificates were made by openssl."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from exporter.collectors.operations.tls import TlsCollector, TlsEndpoint, TlsSettings
from exporter.settings import ApiSettings, ExporterSettings
from tests.fakes.sources import make_sources, samples, value
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.ports import free_port

pytestmark = pytest.mark.timeout(60)

NOT_AFTER = "controlcore_certificate_not_after_timestamp_seconds"
API_EXPIRY = "controlcore_api_tls_certificate_expiry_timestamp_seconds"
FAILURES = "controlcore_certificate_handshake_failures_total"


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def end_of(certificate) -> float:
    """What openssl says of notAfter."""
    text = openssl("x509", "-in", str(certificate), "-noout", "-enddate").strip().removeprefix("notAfter=")
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()


@asynccontextmanager
async def serving(key, certificate):
    """A TLS server that says nothing after the handshake; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def collect(url=None, seconds=2.0, **ports):
    endpoints = tuple(TlsEndpoint(name=name, host="127.0.0.1", port=port) for name, port in ports.items())
    settings = TlsSettings(endpoints=endpoints, handshake_timeout_seconds=seconds)
    async with TlsCollector.open(settings, make_sources(ExporterSettings(api=ApiSettings(url=url)))) as collector:
        return await collector.collect()


async def test_certificate_that_nobody_signed_tells_its_end(tmp_path):
    pair = make_serving_pair(tmp_path, "served")
    async with serving(pair.key_path, pair.certificate_path) as port:
        result = await collect(f"https://localhost:{port}", other=port)
    end = end_of(pair.certificate_path)
    assert samples(result.families)[NOT_AFTER] == {("api",): end, ("other",): end}
    assert value(result.families, API_EXPIRY, "api") == end
    assert set(samples(result.families)[FAILURES].values()) == {0.0}


async def test_expired_certificate_tells_when_it_expired(tmp_path):
    key, request, certificate = (tmp_path / name for name in ("old.key", "old.csr", "old.crt"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=old", "-keyout", str(key), "-out", str(request))
    openssl("x509", "-req", "-in", str(request), "-signkey", str(key), "-days", "-1", "-out", str(certificate))
    async with serving(key, certificate) as port:
        result = await collect(old=port)
    assert value(result.families, NOT_AFTER, "old") == end_of(certificate) < datetime.now(UTC).timestamp()


async def test_endpoints_without_a_certificate_are_absent_and_counted_by_reason():
    mute_port = None

    async def stay_mute(reader, writer):
        await reader.read()
        writer.close()

    async def speak_plainly(_, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    mute = await asyncio.start_server(stay_mute, "127.0.0.1", 0)
    plain = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with mute, plain:
        mute_port, plain_port = (server.sockets[0].getsockname()[1] for server in (mute, plain))
        result = await collect(seconds=0.5, mute=mute_port, plain=plain_port, gone=free_port())
    assert NOT_AFTER not in samples(result.families)
    counted = {labels for labels, count in samples(result.families)[FAILURES].items() if count}
    assert counted == {("mute", "timeout"), ("plain", "tls"), ("gone", "refused")}
    assert result.failure is None


async def test_endpoint_that_hangs_up_during_the_handshake_is_counted():
    async def hang_up(_, writer):
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        result = await collect(rude=server.sockets[0].getsockname()[1])
    counted = {labels for labels, count in samples(result.families)[FAILURES].items() if count}
    assert counted <= {("rude", "closed"), ("rude", "tls")}
    assert len(counted) == 1


CHAIN = "controlcore_certificate_chain_not_after_timestamp_seconds"


def sign(folder, name, days, issuer=None, extension="basicConstraints=CA:TRUE"):
    """A key and a certificate for this many days, signed by `issuer` or by itself."""
    key, request, certificate, wanted = (folder / f"{name}.{end}" for end in ("key", "csr", "crt", "ext"))
    wanted.write_text(extension)
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
    by = ("-signkey", str(key))
    if issuer is not None:
        by = ("-CA", str(folder / f"{issuer}.crt"), "-CAkey", str(folder / f"{issuer}.key"), "-set_serial", "7")
    arguments = ("-in", str(request), "-days", str(days), "-extfile", str(wanted), "-out", str(certificate))
    openssl("x509", "-req", *arguments, *by)
    return key, certificate


async def test_intermediate_that_expires_first_is_the_end_of_the_chain(tmp_path):
    """X10: only the endpoint's own certificate was checked. A root that is also sent does not count."""
    _, root = sign(tmp_path, "root", -1)
    _, middle = sign(tmp_path, "middle", -1, "root")
    key, leaf = sign(tmp_path, "leaf", 90, "middle", "basicConstraints=CA:FALSE")
    shown = tmp_path / "shown.pem"
    shown.write_text("".join(each.read_text() for each in (leaf, middle, root)))
    async with serving(key, shown) as port:
        families = (await collect(old=port)).families
    assert value(families, NOT_AFTER, "old") == end_of(leaf)
    assert value(families, CHAIN, "old") == end_of(middle) < datetime.now(UTC).timestamp()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_server_that_wants_a_clients_certificate_shows_its_own(tmp_path, version):
    """X10: with TLS 1.2 it refuses before the handshake has ended, and was absent."""
    pair = make_serving_pair(tmp_path, "served")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pair.certificate_path))
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        families = (await collect(mutual=server.sockets[0].getsockname()[1])).families
    assert value(families, NOT_AFTER, "mutual") == end_of(pair.certificate_path)
    assert set(samples(families)[FAILURES].values()) == {0.0}
