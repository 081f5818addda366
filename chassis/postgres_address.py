"""Where a PostgreSQL server is and who asks: libpq's URL, read without the environment's PG* variables."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import unquote

from pydantic import SecretStr

from chassis.address import Address, Url, refuse_unknown, split_url
from chassis.errors import Fault, PermanentError, Reason

DEFAULT_PORT = 5432
PLACES = ("host", "port", "user", "password", "dbname")
TLS_PARAMETERS = ("sslmode", "ssl", "sslrootcert", "sslcert", "sslkey")
WITHOUT_EFFECT = frozenset({
    "application_name", "fallback_application_name", "connect_timeout", "options", "client_encoding", "channel_binding",
    "gssencmode", "target_session_attrs", "load_balance_hosts", "keepalives", "keepalives_idle", "keepalives_interval",
    "keepalives_count", "tcp_user_timeout", "sslcompression", "sslsni", "async_fallback", "timeout", "command_timeout",
    "prepared_statement_cache_size", "statement_cache_size", "prepare_threshold", "server_settings",
})  # fmt: skip
"""Parameters that the product's own drivers accept and that change nothing for us."""


class SslMode(StrEnum):
    """How much TLS is asked for, as libpq names it."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"

    @property
    def is_required(self) -> bool:
        """Whether a connection without TLS is refused."""
        return self in {SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL}


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart."""

    user: str
    database: str
    password: SecretStr
    host: str = "localhost"
    """Host name, address, or the folder of a Unix socket when it begins with `/`."""
    port: int = DEFAULT_PORT
    ssl_mode: SslMode = SslMode.PREFER
    ssl_root_cert: str | None = None
    """File of the authorities to trust; None trusts the system's where the mode verifies at all."""
    ssl_cert: str | None = None
    ssl_key: str | None = None


@dataclass(frozen=True, slots=True)
class PostgresAddress(Address[Target]):
    """Where a database is and who asks.

    The URL is `postgresql://user:password@host:port/database?sslmode=…`; a driver suffix (`postgresql+psycopg2`) is
    dropped.
    """

    setting: str = "database.url"
    application_name: str = "controlcore-exporter"
    """Shown in pg_stat_activity, so that our own connections can be told from others."""
    session_role: str | None = None
    """Role to act as after the login (SET ROLE); None acts as the login role."""
    statement_timeout_seconds: float = 5.0
    """When the server ends a query itself, for example one whose asker has already given up."""
    lock_timeout_seconds: float = 1.0
    """How long a query may wait for a lock; statistics must never queue behind a migration."""

    def read(self, faults: list[Fault]) -> Target | None:
        """The URL taken apart, with every fault added to `faults`."""
        url, setting = split_url(self.url, self.setting, faults), self.setting
        if url is None:
            return None
        if url.parts.scheme.partition("+")[0] not in {"postgresql", "postgres"}:
            faults.append(Fault(setting, "expected postgresql://user:password@host:port/database"))
            return None
        faults += refuse_unknown(url.parameters, (*PLACES, *TLS_PARAMETERS), WITHOUT_EFFECT, setting)
        return _with_tls(_place(url, setting, faults), url.parameters, setting, faults)


def tls_context(target: Target) -> ssl.SSLContext:
    """The TLS context of a mode that requires TLS; reads certificate files, so call it off the event loop.

    As in libpq, `require` verifies the chain when `sslrootcert` is given and trusts anybody otherwise.
    """
    try:
        context = ssl.create_default_context(cafile=target.ssl_root_cert)
        context.check_hostname = target.ssl_mode is SslMode.VERIFY_FULL
        if target.ssl_mode is SslMode.REQUIRE and target.ssl_root_cert is None:
            context.verify_mode = ssl.CERT_NONE
        if target.ssl_cert is not None:
            context.load_cert_chain(target.ssl_cert, target.ssl_key)
    except OSError as error:
        raise PermanentError(Reason.TLS, f"cannot load the certificates: {error}") from error
    return context


def _place(url: Url, setting: str, faults: list[Fault]) -> Target:
    """Host, port, database and user; a part of the URL proper wins over its parameter."""
    parts, parameters = url.parts, url.parameters
    _, _, host_part = parts.netloc.rpartition("@")
    host = unquote(host_part) if host_part.lower().startswith("%2f") else parts.hostname or parameters.get("host", "")
    if "," in host:
        faults.append(Fault(setting, "expected one host, found a list"))
    user = unquote(parts.username or "") or parameters.get("user", "")
    if not user:
        faults.append(Fault(setting, "names no user"))
    try:
        number = url.port or int(parameters.get("port", DEFAULT_PORT))
    except ValueError:
        faults.append(Fault(setting, "the port is no number"))
        number = DEFAULT_PORT
    database = unquote(parts.path.removeprefix("/")) or parameters.get("dbname", "") or user
    password = SecretStr(unquote(parts.password or "") or parameters.get("password", ""))
    return Target(user, database, password, host or "localhost", number)


def _with_tls(target: Target, parameters: dict[str, str], setting: str, faults: list[Fault]) -> Target:
    """The target with what the URL says about TLS; SQLAlchemy's asyncpg dialect calls sslmode `ssl`."""
    text = parameters.get("sslmode") or parameters.get("ssl") or SslMode.PREFER
    try:
        mode = SslMode(text)
    except ValueError:
        faults.append(Fault(setting, f"sslmode is none of {', '.join(SslMode)}"))
        return target
    certificates = {name: parameters.get(name) or None for name in ("sslrootcert", "sslcert", "sslkey")}
    return replace(
        target, ssl_mode=mode, ssl_root_cert=certificates["sslrootcert"], ssl_cert=certificates["sslcert"],
        ssl_key=certificates["sslkey"],
    )  # fmt: skip
