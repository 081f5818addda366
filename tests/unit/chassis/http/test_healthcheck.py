"""Health checks on the same machine, with every protection of the web configuration."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import pytest
from aiohttp import web

from chassis.clock import SystemClock
from chassis.http.healthcheck import CheckedAddress, ask, configured_place, run
from chassis.http.server import Listener
from chassis.http.web_auth import WebGuard
from chassis.http.web_config import read_web
from chassis.process.command_line import CommandLine, add_healthcheck_options
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.ports import free_port
from tools.slowness import scaled

HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
SECONDS = scaled(5)
PREFIX = "CONTROLCORE_EXPORTER_"


@asynccontextmanager
async def serving(web_config: str, folder: Path, status: int = 200, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A program with one page, the health, under this web configuration; yields its port."""

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="healthy\n" if status == 200 else "the event loop was blocked\n", status=status)

    make_serving_pair(folder, "own")
    (folder / "web.yml").write_text(web_config)
    first = await asyncio.to_thread(read_web, folder / "web.yml")
    app = web.Application(middlewares=[WebGuard(folder / "web.yml", first, lambda _: None, SystemClock()).middleware])
    app.router.add_get("/-/healthy", healthy)
    async with Listener.opened(app, (host, 0), tls=first.tls) as listener:
        yield listener.bound[1]


async def asked(place: CheckedAddress) -> tuple[bool, str]:
    return await asyncio.to_thread(ask, place, SECONDS)


TLS = "tls_server_config: {cert_file: own.crt, key_file: own.key%s}\n"
CLIENTS = ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: own.crt"
NO_ANSWER = (True, "serves, and requires a client certificate")


@pytest.mark.parametrize(
    ("web_config", "answer"),
    [
        ("{}", (True, "healthy")),
        (TLS % "", (True, "healthy")),
        (TLS % ", min_version: TLS13", (True, "healthy")),
        (f"basic_auth_users: {{ann: '{HASH}'}}", (True, "HTTP 401: ")),
        (TLS % "" + f"basic_auth_users: {{ann: '{HASH}'}}", (True, "HTTP 401: ")),
        (TLS % CLIENTS, NO_ANSWER),
        ("rate_limit: {interval: 1h, burst: 1}", (True, "healthy")),
    ],
    ids=["plain", "tls", "tls-1.3", "basic-auth", "tls-and-basic-auth", "client-certificate", "rate-limit"],
)
@pytest.mark.parametrize("expects_tls", [True, False])
async def test_program_that_serves_is_healthy(tmp_path, web_config, answer, expects_tls):
    async with serving(web_config, tmp_path) as port:
        is_healthy, text = await asked(CheckedAddress("127.0.0.1", port, is_tls=expects_tls))
    assert (is_healthy, text[: len(answer[1])]) == answer


@pytest.mark.parametrize("is_expected", [True, False])
async def test_closed_handshake_is_a_sign_of_life_only_where_tls_is_configured(tmp_path, is_expected):
    async with serving(TLS % f"{CLIENTS}, max_version: TLS12", tmp_path) as port:
        is_healthy, _ = await asked(CheckedAddress("127.0.0.1", port, is_tls=is_expected))
    assert is_healthy is is_expected


async def test_program_that_says_no_is_not_healthy_with_or_without_tls(tmp_path):
    for web_config in ("{}", TLS % ""):
        async with serving(web_config, tmp_path, status=503) as port:
            assert await asked(CheckedAddress("127.0.0.1", port, is_tls=False)) == (
                False,
                "HTTP 503: the event loop was blocked",
            )


async def test_place_where_nothing_listens_is_not_healthy():
    is_healthy, text = await asked(CheckedAddress("", free_port(), is_tls=False))
    assert not is_healthy
    assert "connection refused" in text


async def test_program_that_accepts_and_says_nothing_is_not_healthy():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        place = CheckedAddress("127.0.0.1", server.sockets[0].getsockname()[1], is_tls=False)
        assert await asyncio.to_thread(ask, place, 0.05) == (False, "timed out")


async def test_program_on_ipv6_alone_is_found(tmp_path):
    async with serving("{}", tmp_path, host="::1") as port:
        assert await asked(CheckedAddress("", port, is_tls=False)) == (True, "healthy")


def test_place_comes_from_the_file_and_variables_win(tmp_path):
    web_config = tmp_path / "web.yml"
    web_config.write_text(TLS % "")
    file = tmp_path / "exporter.yaml"
    file.write_text(f"server: {{host: 10.0.0.1, port: 9000, web_config_file: {web_config}}}\n")
    assert configured_place(None, {}, PREFIX, 9877) == CheckedAddress("", 9877, is_tls=False)
    assert configured_place(file, {}, PREFIX, 9877) == CheckedAddress("10.0.0.1", 9000, is_tls=True)
    variables = {f"{PREFIX}SERVER__PORT": "9001", f"{PREFIX}server__host": "::", f"{PREFIX}LOG__LEVEL": "debug"}
    assert configured_place(file, variables, PREFIX, 9877) == CheckedAddress("::", 9001, is_tls=True)


@pytest.mark.parametrize("text", ["server: [", "server: 5", "- 1", "server: {port: many}", "[" * 5000])
def test_file_that_cannot_be_read_leaves_the_default(tmp_path, text):
    file = tmp_path / "exporter.yaml"
    file.write_text(text)
    assert configured_place(file, {}, PREFIX, 9877) == CheckedAddress("", 9877, is_tls=False)


def options(*arguments: str) -> argparse.Namespace:
    command = CommandLine()
    add_healthcheck_options(command)
    return command.parse_args(["--timeout", str(SECONDS), *arguments])


async def test_one_healthy_address_of_several_is_enough(tmp_path, capsys):
    async with serving("{}", tmp_path) as port:
        urls = ("--url", f"http://127.0.0.1:{free_port()}", "--url", f"https://127.0.0.1:{port}")
        given = await asyncio.to_thread(options, *urls)
        assert await asyncio.to_thread(run, given, PREFIX, 9877, None) == 0
    assert capsys.readouterr() == ("healthy\n", "")


def test_each_problem_is_told_with_its_address(capsys):
    ports = [free_port(), free_port()]
    given = options(*(word for port in ports for word in ("--url", f"http://127.0.0.1:{port}")))
    assert run(given, PREFIX, 9877, None) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in said] == [f"127.0.0.1:{port}" for port in ports]


@pytest.mark.parametrize(
    "url", ["localhost:9877", "http://localhost", "ftp://localhost:1", "http://[::1:1", "http://a:x"]
)
def test_text_that_is_no_address_is_refused(url, capsys):
    with pytest.raises(SystemExit, match="2"):
        options("--url", url)
    assert "expected a URL such as http://127.0.0.1:9877" in capsys.readouterr().err
