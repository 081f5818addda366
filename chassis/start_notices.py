"""What operators should know at the start: settings from elsewhere that these programs do not use.

Other clients of PostgreSQL and HTTP take them from the environment. Here nothing but the configuration decides where a
password goes, so what is set and ignored is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chassis.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chassis.postgres_address import PostgresAddress

LIBPQ_VARIABLES = frozenset(
    f"PG{name}"
    for name in (
        "HOST", "HOSTADDR", "PORT", "DATABASE", "USER", "PASSWORD", "PASSFILE", "REQUIREAUTH", "CHANNELBINDING",
        "SERVICE", "SERVICEFILE", "OPTIONS", "APPNAME", "SSLMODE", "REQUIRESSL", "SSLNEGOTIATION", "SSLCOMPRESSION",
        "SSLCERT", "SSLKEY", "SSLCERTMODE", "SSLROOTCERT", "SSLCRL", "SSLCRLDIR", "SSLSNI", "REQUIREPEER",
        "SSLMINPROTOCOLVERSION", "SSLMAXPROTOCOLVERSION", "GSSENCMODE", "KRBSRVNAME", "GSSLIB", "GSSDELEGATION",
        "CONNECT_TIMEOUT", "CLIENTENCODING", "TARGETSESSIONATTRS", "LOADBALANCEHOSTS", "MINPROTOCOLVERSION",
        "MAXPROTOCOLVERSION", "DATESTYLE", "TZ", "GEQO", "SYSCONFDIR", "LOCALEDIR",
    )
)  # fmt: skip
"""PostgreSQL documentation, 34.15 Environment Variables."""
PROXY_VARIABLES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY"})
"""In capitals and in small letters."""


def ignored_variables(environment: Mapping[str, str], *, has_database: bool) -> tuple[str, ...]:
    """The variables that are set and have no effect here; those of libpq only where a database is configured."""
    names = [name for name, value in environment.items() if value]
    libpq = [name for name in names if has_database and name in LIBPQ_VARIABLES]
    return tuple(sorted(libpq + [name for name in names if name.upper() in PROXY_VARIABLES]))


def tell(environment: Mapping[str, str], database: PostgresAddress | None) -> None:
    """Logs, once for each start: ignored variables, parameters of the URL that are not used, optional encryption."""
    log = get_logger()
    ignored = ignored_variables(environment, has_database=database is not None)
    if ignored:
        log.warning("environment.ignored", variables=list(ignored), hint="only the configuration is used; unset them")
    if database is None:
        return
    target = database.target()
    if target.not_used:
        log.warning("database.parameters_not_used", setting=database.setting, parameters=list(target.not_used))
    if target.is_encryption_optional:
        log.warning(
            "database.encryption_optional",
            setting=database.setting,
            sslmode=target.ssl_mode.value,
            hint="the password may cross the network in clear; use sslmode=verify-full, or disable if that is wanted",
        )
