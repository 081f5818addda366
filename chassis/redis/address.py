"""The address of a Redis server and our credentials: the URL of redis-py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr

from chassis.errors import Fault
from chassis.net.address import Address, refuse_unknown, split_url

DEFAULT_PORT = 6379
SCHEMES = ("redis", "rediss", "unix")
PLACES = ("db", "password", "username")
TLS_PARAMETERS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname", "ssl_certfile", "ssl_keyfile")
CERTIFICATE_CHECKS = ("none", "optional", "required")
WITHOUT_EFFECT = frozenset({
    "decode_responses", "encoding", "encoding_errors", "health_check_interval", "max_connections", "protocol",
    "retry_on_timeout", "socket_connect_timeout", "socket_keepalive", "socket_timeout", "timeout", "client_name",
})  # fmt: skip
"""Parameters that the product's own driver accepts but that have no effect here."""


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """The parts of an address."""

    user: str | None
    password: SecretStr
    host: str = "localhost"
    port: int = DEFAULT_PORT
    database: int = 0
    is_tls: bool = False
    socket_path: str | None = None
    """Unix socket; wins over host and port."""
    tls_arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RedisAddress(Address[RedisTarget]):
    """The address of Redis and our credentials.

    The URL is `redis://[user:password@]host:port/db`, `rediss://` for TLS, or `unix:///path?db=0`.
    """

    setting: str = "redis.url"
    client_name: str | None = None
    """Shown by CLIENT LIST; None sends no CLIENT SETNAME, which some access lists forbid."""

    def read(self, faults: list[Fault]) -> RedisTarget | None:
        """The parts of the URL, with every fault added to `faults`."""
        url, setting = split_url(self.url, self.setting, faults), self.setting
        if url is None:
            return None
        parts, parameters = url.parts, url.parameters
        if parts.scheme not in SCHEMES:
            faults.append(Fault(setting, "expected redis://[user:password@]host:port/db, rediss:// or unix://"))
            return None
        faults += refuse_unknown(parameters, sorted({*TLS_PARAMETERS, *PLACES}), WITHOUT_EFFECT, setting)
        is_unix, is_tls = parts.scheme == "unix", parts.scheme == "rediss"
        return RedisTarget(
            user=unquote(parts.username or "") or parameters.get("username") or None,
            password=SecretStr(unquote(parts.password or "") or parameters.get("password", "")),
            host=parts.hostname or "localhost",
            port=url.port or DEFAULT_PORT,
            database=_database("" if is_unix else parts.path.strip("/"), parameters, setting, faults),
            is_tls=is_tls,
            socket_path=unquote(parts.path) if is_unix else None,
            tls_arguments=_tls_arguments(parameters, setting, faults) if is_tls else {},
        )


def _database(path: str, parameters: dict[str, str], setting: str, faults: list[Fault]) -> int:
    """The database number: the parameter `db`, else the path, else 0."""
    text = parameters.get("db") or path or "0"
    if not (text.isascii() and text.isdigit()):
        faults.append(Fault(setting, "the database is not a number"))
        return 0
    return int(text)


def _tls_arguments(parameters: dict[str, str], setting: str, faults: list[Fault]) -> dict[str, Any]:
    """The TLS options for redis-py; without parameters it verifies chain and host name."""
    check = parameters.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if check not in CERTIFICATE_CHECKS:
        faults.append(Fault(setting, f"ssl_cert_reqs must be one of {', '.join(CERTIFICATE_CHECKS)}"))
        check = "required"
    is_hostname_checked = parameters.get("ssl_check_hostname", "true").lower() not in {"0", "f", "false", "n", "no"}
    arguments: dict[str, Any] = {
        "ssl_cert_reqs": check,
        "ssl_check_hostname": is_hostname_checked and check != "none",
    }
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if parameters.get(name):
            arguments[name] = parameters[name]
    return arguments
