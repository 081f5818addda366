"""Checks the health of our program on this machine, for a container engine without probes.

A check starts twice a minute, so it imports little and reads only the address from the settings.
"""

from __future__ import annotations

import argparse
import http.client
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from chassis.documents import load_yaml
from chassis.net.sockets import socket_text

HEALTHY, UNHEALTHY = 0, 1
"""Docker reserves every other status."""
PATH = "/-/healthy"
SERVING = frozenset({200, 401, 403, 429})
"""Statuses from users, client certificate names or a rate limit: they show that the program serves."""
WANTS_CERTIFICATE = (True, "serves, and requires a client certificate")
"""This answer shows that the program's event loop runs."""
LOOPBACK = {"": ("127.0.0.1", "::1"), "0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}  # noqa: S104
"""The address to use for a server that listens on every address."""
ANSWER_BYTES = 200


@dataclass(frozen=True, slots=True)
class CheckedAddress:
    """The address to check; `is_tls` is tried first."""

    host: str
    port: int
    is_tls: bool


def run(options: argparse.Namespace, prefix: str, port: int, config_file: Path | None) -> int:
    """Prints the answer; the exit status is 0 when the program is healthy, else 1.

    `options` are those of `chassis.process.command_line.add_healthcheck_options`, `prefix` is that of the program's
    environment variables, `port` its default.
    """
    problems = []
    places = [_place(url) for url in options.url]
    for place in places or [configured_place(config_file, os.environ, prefix, port)]:
        is_healthy, answer = ask(place, options.timeout)
        if is_healthy:
            sys.stdout.write(f"{answer}\n")
            return HEALTHY
        problems.append(f"{place.host or 'localhost'}:{place.port}: {answer}")
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return UNHEALTHY


def configured_place(path: Path | None, environment: Mapping[str, str], prefix: str, port: int) -> CheckedAddress:
    """Where the program listens according to file and variables; an unreadable value leaves the default.

    The program itself reports faults in its configuration; a sidecar serves despite them.
    """
    values = _server_section(path) | {
        name.lower().removeprefix(f"{prefix}SERVER__".lower()): value
        for name, value in environment.items()
        if name.upper().startswith(f"{prefix}SERVER__")
    }
    with suppress(ValueError):
        port = int(str(values.get("port", port)))
    web_config = values.get("web_config_file")
    return CheckedAddress(
        str(values.get("host", "")), port, is_tls=bool(web_config) and _has_tls(Path(str(web_config)))
    )


def ask(place: CheckedAddress, timeout_seconds: float) -> tuple[bool, str]:
    """Whether the program at this place is healthy, and its answer or the problem."""
    problem = ""
    for host, is_tls in _attempts(place):
        try:
            return _request(host, place.port, timeout_seconds, is_tls=is_tls)
        except ssl.SSLEOFError as error:
            if place.is_tls:
                # TLS 1.2: the server ends the handshake of a client without a certificate.
                return WANTS_CERTIFICATE
            problem = problem or str(error)
        except (OSError, http.client.HTTPException) as error:
            # The first problem counts: the later attempts are guesses.
            text = socket_text(error) if isinstance(error, OSError) else str(error)
            problem = problem or text or type(error).__name__
    return False, problem


def _attempts(place: CheckedAddress) -> Iterator[tuple[str, bool]]:
    """Every address, first with the expected scheme and then with the other."""
    for is_tls in (place.is_tls, not place.is_tls):
        for host in LOOPBACK.get(place.host.strip("[]"), (place.host,)):
            yield host, is_tls


def _request(host: str, port: int, timeout_seconds: float, *, is_tls: bool) -> tuple[bool, str]:
    """This address's answer; raises OSError or HTTPException without one."""
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=_any_certificate())
        if is_tls
        else http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    )
    with closing(connection):
        connection.connect()
        try:
            connection.request("GET", PATH, headers={"User-Agent": "controlcore-healthcheck"})
            answer = connection.getresponse()
            text = answer.read(ANSWER_BYTES).decode("utf-8", "replace").strip()
        except (ssl.SSLError, ConnectionError):
            if is_tls:
                # TLS 1.3: a client learns after the handshake that its certificate is missing.
                return WANTS_CERTIFICATE
            raise
    return answer.status in SERVING, text if answer.status == http.client.OK else f"HTTP {answer.status}: {text}"


def _any_certificate() -> ssl.SSLContext:
    """TLS without verification: the certificate has the public name, and it is this machine's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _place(url: str) -> CheckedAddress:
    parts = urlsplit(url)
    return CheckedAddress(parts.hostname or "", parts.port or 0, is_tls=parts.scheme == "https")


def _server_section(path: Path | None) -> dict[str, object]:
    section = {} if path is None else _mapping(path).get("server")
    return section if isinstance(section, dict) else {}


def _has_tls(path: Path) -> bool:
    return bool(_mapping(path).get("tls_server_config"))


def _mapping(path: Path) -> dict[str, object]:
    """The file's content; empty if it is not a readable mapping."""
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
