"""Notices for operators at the start: ignored settings from elsewhere, and credentials that others can read.

Other PostgreSQL and HTTP clients read settings from the environment. Here only the configuration decides where a
password goes, so ignored variables are named.
"""

from __future__ import annotations

import asyncio
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from chassis.config import split_paths
from chassis.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chassis.postgres.address import PostgresAddress

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
CREDENTIAL = re.compile(r"(?:.*_)?(?:token|password|credentials|key)_files?|kubeconfig")
"""Names of settings that hold the path of a file with a credential."""


def ignored_variables(environment: Mapping[str, str], *, has_database: bool) -> tuple[str, ...]:
    """Variables that are set but have no effect here; libpq's only if a database is configured."""
    names = [name for name, value in environment.items() if value]
    libpq = [name for name in names if has_database and name in LIBPQ_VARIABLES]
    return tuple(sorted(libpq + [name for name in names if name.upper() in PROXY_VARIABLES]))


def tell(environment: Mapping[str, str], database: PostgresAddress | None) -> None:
    """Logs once at each start: ignored variables, ignored parameters of the URL, optional encryption."""
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
            hint="the password may cross the network unencrypted; use sslmode=verify-full, or disable if that is "
            "intended",
        )


async def tell_readable(settings: BaseModel) -> None:
    """Logs once at each start the credential files that every user of the host may read or write."""
    found = await asyncio.to_thread(files_open_to_others, settings)
    if found:
        get_logger().warning(
            "credentials.readable_by_others",
            files=[f"{setting}: {path}" for setting, path in found],
            hint="chmod 0600, or 0640 with the program's group",
        )


def files_open_to_others(settings: BaseModel) -> list[tuple[str, Path]]:
    """The credential files with permissions for others, each with its setting; blocks on the disk.

    Files of Kubernetes volumes are left out: by default the kubelet gives Secrets 0644, and only the pod's containers
    see them.
    """
    return [(setting, path) for setting, path in _credential_files(settings) if _is_open_to_others(path)]


def _credential_files(value: Any, place: str = "", name: str = "") -> Iterator[tuple[str, Path]]:
    """Every path in a setting that names a credential file, with the setting's path."""
    if isinstance(value, Path):
        if CREDENTIAL.fullmatch(name):
            files = split_paths(value) if name == "kubeconfig" else (value,)
            yield from ((place, file) for file in files)
        return
    if isinstance(value, BaseModel):
        parts = ((field, field, getattr(value, field)) for field in type(value).model_fields)
    elif isinstance(value, dict):
        parts = ((str(key), name or str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        parts = ((str(index), name, item) for index, item in enumerate(value))
    else:
        return
    for step, field, item in parts:
        yield from _credential_files(item, f"{place}.{step}" if place else step, field)


def _is_open_to_others(path: Path) -> bool:
    """Whether users other than owner and group may use the file; False if it cannot be checked."""
    try:
        mode = path.stat().st_mode
        # The kubelet writes a volume's files into a folder such as ..2026_01_02 and links ..data to it.
        is_volume = any(part.startswith("..") for part in path.resolve().parts)
    except OSError:
        return False
    return bool(mode & stat.S_IRWXO) and not is_volume
