"""Who we are for a Kubernetes API, and the connections to it: one session, with credentials for each request.

In a pod the credentials are the ServiceAccount's; elsewhere they come from a kubeconfig, read by
chassis.kubernetes_kubeconfig. kubernetes_asyncio, which costs 35 MiB, is imported only to run the exec or auth-provider
plug-in of a kubeconfig.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from chassis.clock import Clock, SystemClock
from chassis.errors import ConfigError, Fault
from chassis.log import get_logger

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts `token` and `ca.crt` (Kubernetes documentation, "Accessing the API from within a Pod")."""
SETTING = "kubernetes"
UNUSABLE = "no usable credentials"
TOKEN_SECONDS = 60.0
"""How old a read token may be. The kubelet replaces a token at four fifths of its life, which is 10 minutes or more."""
MAX_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach one API server. Nothing secret is in the representation."""

    server: str
    """URL without a slash at its end; it may have a path."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None for a server on plain http."""
    server_name: str | None = None
    """The name in the server's certificate when it is not the host of the URL."""
    token: str | None = field(default=None, repr=False)
    """The bearer token; None without one. With `token_path`, the file's content so far."""
    token_path: Path | None = None
    """File that the token is read from again."""
    plug_in: Mapping[str, Any] | None = field(default=None, repr=False)
    """The kubeconfig's user entry when only a plug-in can tell who we are."""


class Access:
    """Open connections to one API server; `authorization()` says who we are. Made by `opened()`."""

    def __init__(self, credentials: Credentials, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.server = credentials.server
        self.server_name = credentials.server_name
        self.session = session
        self._token = credentials.token
        self._token_path = credentials.token_path
        self._clock = clock
        self._read_at = clock.monotonic()
        self._is_unreadable = False

    async def authorization(self) -> str | None:
        """The value of the Authorization header, None without a token.

        A token from a file is at most TOKEN_SECONDS old; while the file cannot be read, the last one goes on.
        """
        if self._token_path is not None and self._clock.monotonic() - self._read_at >= TOKEN_SECONDS:
            await self._read_again(self._token_path)
        return None if self._token is None else f"Bearer {self._token}"

    async def _read_again(self, path: Path) -> None:
        """Replaces the token; a file that cannot be read is tried again at the next request and logged once."""
        try:
            self._token = await asyncio.to_thread(read_token, path)
        except ValueError as error:
            if not self._is_unreadable:
                self._is_unreadable = True
                get_logger().warning("kubernetes.token_unreadable", path=str(path), error=str(error))
            return
        self._is_unreadable = False
        self._read_at = self._clock.monotonic()


@asynccontextmanager
async def opened(credentials: Credentials, clock: Clock | None = None) -> AsyncIterator[Access]:
    """Opens the connections and closes them at exit. Raises ConfigError when a plug-in does not give credentials."""
    known = await _ask_plug_in(credentials) if credentials.plug_in is not None else credentials
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=known.tls if known.tls is not None else True)
    # trust_env would send the token through whatever proxy the environment names, and read ~/.netrc for each request.
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        yield Access(known, session, clock or SystemClock())


def in_cluster(folder: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> Credentials:
    """The pod's ServiceAccount; reads files, so call it off the event loop.

    Raises ConfigError with every fault. The address is in KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError((_fault("this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"),))
    faults: list[Fault] = []
    token, tls, path = None, None, folder / "token"
    try:
        token = read_token(path)
    except ValueError as error:
        faults.append(_fault(str(error)))
    try:
        tls = ssl.create_default_context(cafile=folder / "ca.crt")
    except OSError as error:
        faults.append(_fault(f"cannot load {folder / 'ca.crt'}: {error.strerror}"))
    if not (port.isascii() and port.isdigit()):
        faults.append(_fault("KUBERNETES_SERVICE_PORT is no number"))
    if faults:
        raise ConfigError(tuple(faults))
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Credentials(f"https://{place}", tls, token=token, token_path=path)


def read_token(path: Path) -> str:
    """A token file's content without the space around it; ValueError that says what is wrong and quotes nothing."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds no token") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    return require_token(token, str(path))


def require_token(token: str, place: str) -> str:
    """The token itself; ValueError when a header cannot carry it."""
    if not token:
        raise ValueError(f"{place} is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{place} holds no token")
    return token


async def _ask_plug_in(credentials: Credentials) -> Credentials:
    """The credentials with what the plug-in told: a token, or a client certificate; asked once.

    The library sees the user entry alone. It writes a plug-in's certificate into files and removes them at exit.
    """
    config, kind = await asyncio.to_thread(_import_library)
    configuration = kind()
    entries = {
        "current-context": "own",
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
        "clusters": [{"name": "own", "cluster": {"server": "http://localhost"}}],
        "users": [{"name": "own", "user": dict(credentials.plug_in or {})}],
    }
    try:
        await config.load_kube_config_from_dict(entries, client_configuration=configuration)
        certificate, token = configuration.cert_file, configuration.api_key.get("BearerToken")
        if certificate is not None and credentials.tls is not None:
            await asyncio.to_thread(credentials.tls.load_cert_chain, certificate, configuration.key_file, "")
    except (
        config.ConfigException,
        aiohttp.ClientError,
        OSError,
        ImportError,
        ValueError,
        LookupError,
        TypeError,
        RuntimeError,
    ) as error:
        message = f"{UNUSABLE}: the plug-in failed: {error}"
        raise ConfigError((Fault(f"{SETTING}.kubeconfig", message),)) from error
    if certificate is None and token is None:
        message = f"{UNUSABLE}: the plug-in gave neither a token nor a certificate"
        raise ConfigError((Fault(f"{SETTING}.kubeconfig", message),))
    bare = None if token is None else str(token).removeprefix("Bearer ")
    return Credentials(credentials.server, credentials.tls, server_name=credentials.server_name, token=bare)


def _import_library() -> tuple[Any, Any]:
    """kubernetes_asyncio's configuration loaders and its Configuration."""
    from kubernetes_asyncio import config  # noqa: PLC0415 - heavy
    from kubernetes_asyncio.client.configuration import Configuration  # noqa: PLC0415 - heavy

    return config, Configuration


def _fault(message: str) -> Fault:
    return Fault(SETTING, f"{UNUSABLE}: {message}")
