"""Where a Redis server is and who asks: the URL that redis-py's users write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from chassis.config import read_secret
from chassis.errors import ConfigError, Fault, PermanentError, Reason

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_PORT = 6379
SCHEMES = ("redis", "rediss", "unix")
TLS_PARAMETERS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname", "ssl_certfile", "ssl_keyfile")
CERTIFICATE_CHECKS = ("none", "optional", "required")
WITHOUT_EFFECT = frozenset({
    "decode_responses", "encoding", "encoding_errors", "health_check_interval", "max_connections", "protocol",
    "retry_on_timeout", "socket_connect_timeout", "socket_keepalive", "socket_timeout", "timeout", "client_name",
})  # fmt: skip
"""Parameters that the product's own driver accepts and that change nothing for us."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart."""

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
class RedisAddress:
    """Where Redis is and who asks. Raises ConfigError, with the setting's path, when the URL cannot be used."""

    url: SecretStr
    """`redis://[user:password@]host:port/db`, `rediss://` for TLS, or `unix:///path?db=0`."""
    password_file: Path | None = None
    """File with the password, read again at every connect; wins over the URL's."""
    client_name: str | None = None
    """Shown by CLIENT LIST; None sends no CLIENT SETNAME, which some access lists forbid."""
    setting: str = "redis.url"
    """Path of the setting that faults name."""

    def __post_init__(self) -> None:
        """Refuses a bad URL when it is read, not at the first connect."""
        self.target()

    @classmethod
    def parse(
        cls, url: SecretStr | str, *, setting: str = "redis.url", password_file: Path | None = None
    ) -> RedisAddress:
        """The address that a URL names."""
        secret = url if isinstance(url, SecretStr) else SecretStr(url)
        return cls(secret, password_file=password_file, setting=setting)

    def target(self) -> Target:
        """The URL taken apart."""
        faults: list[Fault] = []
        target = _read_url(self.url.get_secret_value(), self.setting, faults)
        if faults or target is None:
            raise ConfigError(tuple(faults))
        return target


def read_password(address: RedisAddress, target: Target) -> str:
    """The password to authenticate with, empty for none; reads the file, so call it off the event loop."""
    if address.password_file is None:
        return target.password.get_secret_value()
    try:
        return read_secret(
            address.password_file, f"{address.setting.rpartition('.')[0]}.password_file"
        ).get_secret_value()
    except ConfigError as error:
        raise PermanentError(Reason.AUTH, str(error)) from error


def _read_url(url: str, setting: str, faults: list[Fault]) -> Target | None:
    """The target, with every fault added to `faults`; no fault repeats the URL, which may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        faults.append(Fault(setting, "not a URL: the host or the port cannot be read"))
        return None
    if parts.scheme not in SCHEMES:
        faults.append(Fault(setting, "expected redis://[user:password@]host:port/db, rediss:// or unix://"))
        return None
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = {*TLS_PARAMETERS, "db", "username", "password"}
    faults += [
        Fault(setting, f"unknown parameter {name}; known: {', '.join(sorted(known))}")
        for name in sorted(set(parameters) - known - WITHOUT_EFFECT)
    ]
    is_unix = parts.scheme == "unix"
    return Target(
        user=unquote(parts.username or "") or parameters.get("username") or None,
        password=SecretStr(unquote(parts.password or "") or parameters.get("password", "")),
        host=parts.hostname or "localhost",
        port=port or DEFAULT_PORT,
        database=_database("" if is_unix else parts.path.strip("/"), parameters, setting, faults),
        is_tls=parts.scheme == "rediss",
        socket_path=unquote(parts.path) if is_unix else None,
        tls_arguments=_tls_arguments(parameters, setting, faults) if parts.scheme == "rediss" else {},
    )


def _database(path: str, parameters: dict[str, str], setting: str, faults: list[Fault]) -> int:
    """The database's number: the parameter `db`, else the path, else 0."""
    text = parameters.get("db") or path or "0"
    if not (text.isascii() and text.isdigit()):
        faults.append(Fault(setting, "the database is no number"))
        return 0
    return int(text)


def _tls_arguments(parameters: dict[str, str], setting: str, faults: list[Fault]) -> dict[str, Any]:
    """What redis-py's TLS connection is told; without parameters it verifies chain and host name."""
    check = parameters.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if check not in CERTIFICATE_CHECKS:
        faults.append(Fault(setting, f"ssl_cert_reqs is none of {', '.join(CERTIFICATE_CHECKS)}"))
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
