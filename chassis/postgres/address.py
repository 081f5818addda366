"""The address of a PostgreSQL server and our credentials: a libpq URL, without the environment's PG* variables."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from shlex import quote
from urllib.parse import unquote

from pydantic import SecretStr

from chassis.errors import Fault, PermanentError, Reason
from chassis.net.address import Address, Url, refuse_unknown, split_url
from chassis.net.trust import Trust
from chassis.postgres.options import (
    ADVICE,
    NOT_USED,
    NOT_USED_OPTIONS,
    SESSION_ATTRIBUTES,
    WITHOUT_EFFECT,
    parse_options,
    refusals,
)

DEFAULT_PORT = 5432
PLACES = ("host", "port", "user", "password", "dbname")
TLS_PARAMETERS = (
    "sslmode", "ssl", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
)  # fmt: skip
SESSION_PARAMETERS = ("options", "target_session_attrs", "connect_timeout", "channel_binding", "gssencmode")
TLS_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}  # fmt: skip
SYSTEM = "system"
"""As sslrootcert it means the system's CAs, with sslmode=verify-full (libpq of PostgreSQL 16)."""


class SslMode(StrEnum):
    """TLS modes, with libpq's names."""

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
class PostgresTarget:
    """The parts of an address."""

    user: str
    database: str
    password: SecretStr
    host: str = "localhost"
    """Host name, address, or a Unix socket's folder if it begins with `/`."""
    port: int = DEFAULT_PORT
    ssl_mode: SslMode = SslMode.PREFER
    ssl_root_cert: str | None = None
    """File of the CAs to trust; None trusts the system's, if the mode verifies at all."""
    ssl_cert: str | None = None
    ssl_key: str | None = None
    ssl_password: SecretStr | None = None
    """Of the key."""
    ssl_crl: str | None = None
    """File of revoked certificates."""
    ssl_versions: tuple[str | None, str | None] = (None, None)
    """Lowest and highest TLS version; None leaves it to OpenSSL."""
    is_tls_direct: bool = False
    """Whether TLS begins with the first byte (sslnegotiation=direct, PostgreSQL 17)."""
    options: tuple[tuple[str, str], ...] = ()
    """Run-time parameters of the session, without those that ours override."""
    not_used: tuple[str, ...] = ()
    """Ignored parts of the URL, each with the reason; logged at the start."""
    session_attributes: str = "any"
    """Acceptable kind of server, with asyncpg's names."""
    connect_seconds: float | None = None
    """Longest wait for a connection, if shorter than the caller's deadline; None for no limit."""

    @property
    def is_encryption_optional(self) -> bool:
        """Whether the password and data may cross a network unencrypted, or go to an unverified server."""
        is_local = self.host.startswith("/") or self.host in {"localhost", "::1"} or self.host.startswith("127.")
        return not is_local and self.ssl_mode in {SslMode.ALLOW, SslMode.PREFER}

    @property
    def list_databases(self) -> str:
        """The command that lists the server's databases, for a person; psql asks for the password."""
        return f"psql -h {quote(self.host)} -p {self.port} -U {quote(self.user)} -d postgres -l"


@dataclass(frozen=True, slots=True)
class PostgresAddress(Address[PostgresTarget]):
    """The address of a database and our credentials.

    The URL is `postgresql://user:password@host:port/database?sslmode=…`; a driver suffix (`postgresql+psycopg2`) is
    dropped.
    """

    setting: str = "database.url"
    application_name: str = "controlcore-exporter"
    """Shown in pg_stat_activity, to identify our own connections."""
    session_role: str | None = None
    """Role to act as after the login (SET ROLE); None acts as the login role."""
    statement_timeout_seconds: float = 5.0
    """When the server itself ends a query, for example after the caller has given up."""
    lock_timeout_seconds: float = 1.0
    """How long a query may wait for a lock; statistics must never queue behind a migration."""

    def read(self, faults: list[Fault]) -> PostgresTarget | None:
        """The parts of the URL, with every fault added to `faults`."""
        url, setting = split_url(self.url, self.setting, faults), self.setting
        if url is None:
            return None
        if url.parts.scheme.partition("+")[0] not in {"postgresql", "postgres"}:
            faults.append(Fault(setting, "expected postgresql://user:password@host:port/database"))
            return None
        known = (*PLACES, *TLS_PARAMETERS, *SESSION_PARAMETERS)
        others = WITHOUT_EFFECT | NOT_USED.keys() | ADVICE.keys()
        faults += refuse_unknown(url.parameters, known, others, setting)
        faults += refusals(url.parameters, setting)
        target = _with_tls(_place(url, setting, faults), url.parameters, setting, faults)
        return _with_session(target, url.parameters, setting, faults)


def tls_context(target: PostgresTarget) -> ssl.SSLContext:
    """The TLS context of a target; reads certificate files, so call it off the event loop.

    As in libpq, `require` verifies the chain if `sslrootcert` is given, and otherwise trusts any server. Raises
    PermanentError(tls) when a file cannot be loaded.
    """
    try:
        return make_context(target)
    except (OSError, ValueError) as error:
        raise PermanentError(Reason.TLS, f"cannot load the certificates: {error}") from error


def make_context(target: PostgresTarget) -> ssl.SSLContext:
    """The same; raises OpenSSL's OSError or ValueError."""
    if _is_verifying(target):
        context = ssl.create_default_context(cafile=target.ssl_root_cert)
        context.check_hostname = target.ssl_mode is SslMode.VERIFY_FULL
        if target.ssl_crl is not None:
            context.load_verify_locations(cafile=target.ssl_crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    lowest, highest = target.ssl_versions
    context.minimum_version = TLS_VERSIONS[lowest] if lowest else ssl.TLSVersion.TLSv1_2
    if highest:
        context.maximum_version = TLS_VERSIONS[highest]
    if target.ssl_cert is not None:
        # With any password, even an empty one, OpenSSL does not ask for one on the terminal.
        password = "" if target.ssl_password is None else target.ssl_password.get_secret_value()
        context.load_cert_chain(target.ssl_cert, target.ssl_key, password=password)
    context.set_alpn_protocols(("postgresql",))  # PostgreSQL 17 requires it if TLS begins at once
    return context


@lru_cache(maxsize=64)
def trust_of(target: PostgresTarget) -> Trust:
    """The target's TLS context, which follows its files."""
    files = (target.ssl_root_cert, target.ssl_cert, target.ssl_key, target.ssl_crl)
    is_system = _is_verifying(target) and target.ssl_root_cert is None
    make = partial(make_context, target)
    return Trust(make, (file for file in files if file is not None), is_system=is_system, check_seconds=0)


def _is_verifying(target: PostgresTarget) -> bool:
    """Whether the server's certificate is verified at all."""
    is_asked = target.ssl_mode is SslMode.REQUIRE and target.ssl_root_cert is not None
    return is_asked or target.ssl_mode in {SslMode.VERIFY_CA, SslMode.VERIFY_FULL}


def _place(url: Url, setting: str, faults: list[Fault]) -> PostgresTarget:
    """Host, port, database and user; the URL's own part wins over a parameter."""
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
        faults.append(Fault(setting, "the port is not a number"))
        number = DEFAULT_PORT
    database = unquote(parts.path.removeprefix("/")) or parameters.get("dbname", "") or user
    password = SecretStr(unquote(parts.password or "") or parameters.get("password", ""))
    return PostgresTarget(user, database, password, host or "localhost", number)


def _with_tls(target: PostgresTarget, parameters: dict[str, str], setting: str, faults: list[Fault]) -> PostgresTarget:
    """The target with the URL's TLS parameters; SQLAlchemy's asyncpg dialect calls sslmode `ssl`."""
    text = parameters.get("sslmode") or parameters.get("ssl") or SslMode.PREFER
    try:
        mode = SslMode(text)
    except ValueError:
        faults.append(Fault(setting, f"sslmode must be one of {', '.join(SslMode)}"))
        return target
    if parameters.get("sslrootcert") == SYSTEM and mode is not SslMode.VERIFY_FULL:
        faults.append(Fault(setting, "sslrootcert=system needs sslmode=verify-full"))
    lowest, highest = (parameters.get(f"ssl_{end}_protocol_version") or None for end in ("min", "max"))
    if {lowest, highest} - {None, *TLS_VERSIONS}:
        faults.append(
            Fault(setting, f"ssl_min_protocol_version and ssl_max_… must be one of {', '.join(TLS_VERSIONS)}")
        )
    negotiation = parameters.get("sslnegotiation", "postgres")
    if negotiation not in {"postgres", "direct"} or (negotiation == "direct" and not mode.is_required):
        faults.append(Fault(setting, "sslnegotiation must be postgres, or direct with sslmode=require or stricter"))
    root = parameters.get("sslrootcert") or None
    if parameters.get("sslcrl") and root is None and mode not in {SslMode.VERIFY_CA, SslMode.VERIFY_FULL}:
        faults.append(Fault(setting, "sslcrl needs sslmode=verify-ca or verify-full"))
    return replace(
        target, ssl_mode=mode, ssl_root_cert=None if root == SYSTEM else root,
        ssl_cert=parameters.get("sslcert") or None, ssl_key=parameters.get("sslkey") or None,
        ssl_password=SecretStr(parameters.get("sslpassword", "")), ssl_crl=parameters.get("sslcrl") or None,
        ssl_versions=(lowest, highest), is_tls_direct=negotiation == "direct",
    )  # fmt: skip


def _with_session(
    target: PostgresTarget, parameters: dict[str, str], setting: str, faults: list[Fault]
) -> PostgresTarget:
    """The target with the URL's session parameters."""
    options = parse_options(parameters.get("options", ""), setting, faults)
    not_used = [f"{name}: {why}" for name, why in NOT_USED.items() if parameters.get(name)]
    not_used += [f"options {name}: {why}" for name, why in NOT_USED_OPTIONS.items() if name in options]
    attributes = parameters.get("target_session_attrs", "any")
    if attributes not in SESSION_ATTRIBUTES:
        faults.append(Fault(setting, f"target_session_attrs must be one of {', '.join(SESSION_ATTRIBUTES)}"))
        attributes = "any"
    try:
        seconds = int(parameters.get("connect_timeout") or 0)
    except ValueError:
        faults.append(Fault(setting, "connect_timeout is not a number of seconds"))
        seconds = 0
    return replace(
        target,
        options=tuple((name, value) for name, value in options.items() if name not in NOT_USED_OPTIONS),
        not_used=tuple(not_used),
        session_attributes=SESSION_ATTRIBUTES[attributes],
        connect_seconds=max(2.0, seconds) if seconds > 0 else None,  # libpq: at least 2 s, none for 0 or less
    )
