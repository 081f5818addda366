"""Our identity at a Kubernetes API, and the connections to it: credentials for each request, renewed when needed.

In a pod the credentials are the ServiceAccount's; elsewhere they come from a kubeconfig, read by
chassis.kubernetes.kubeconfig. Both are read again when a file of theirs changed; an exec plug-in is asked again before
its token ends, and after the API server refused it. kubernetes_asyncio, which costs 35 MiB, is imported only for the
auth-provider of a kubeconfig.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chassis.clock import Clock, SystemClock
from chassis.errors import ConfigError, Fault, Redact
from chassis.http.client_sessions import Connections
from chassis.kubernetes.exec_plugin import Given, ask_plug_in
from chassis.log import get_logger
from chassis.net.kept import MAX_AGE_SECONDS
from chassis.net.trust import Mark, fingerprint

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts `token` and `ca.crt` (Kubernetes documentation, "Accessing the API from within a Pod")."""
SETTING = "kubernetes"
UNUSABLE = "the credentials cannot be used"
OUTSIDE = (
    "this is not a pod (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set); outside of a cluster set "
    f"{SETTING}.kubeconfig to a kubeconfig file"
)
TOKEN_SECONDS = 60.0
"""How old a read file may be. The kubelet replaces a token at four fifths of its life, which is 10 minutes or more."""
PLUG_IN_SECONDS = 10.0
"""Pause between two runs of a plug-in that failed or whose token is refused."""
MARGIN_SECONDS = 60.0
"""How long before its token expires a plug-in is run again."""
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
    proxy: str | None = field(default=None, repr=False)
    """URL of the HTTP proxy on the way to the server; it may hold a name and a password."""
    plug_in: Mapping[str, Any] | None = field(default=None, repr=False)
    """The kubeconfig's user entry if only a plug-in knows our identity."""
    folder: Path = Path()
    """Where the program of a plug-in with a relative path is looked for."""
    files: tuple[Path, ...] = ()
    """Files that all this was read from; when one changes, `read_again` gives the new credentials."""
    is_system_trusted: bool = False
    """Whether the system's authorities are trusted, and followed too."""
    read_again: Callable[[], Credentials] | None = field(default=None, repr=False, compare=False)
    """Reads the files anew; raises ConfigError. None for credentials that cannot change."""


class ApiAccess:
    """Connections to one API server and the credentials for them. Made by `opened()`."""

    def __init__(self, credentials: Credentials, connections: Connections, clock: Clock, redact: Redact = str) -> None:
        self.connections = connections
        self._known = credentials
        self._files = credentials
        self._given: Given | None = None
        self._clock = clock
        self._redact = redact
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._mark: Mark | None = None
        self._checked_at = clock.monotonic()
        self._asked_at = float("-inf")
        self._problem: str | None = None
        self._is_refused = False

    @property
    def problem(self) -> str | None:
        """What is wrong with the credentials now; None when nothing is known to be."""
        refused = "the API server refuses the credentials (401)" if self._is_refused else None
        return self._problem or refused

    async def start(self) -> None:
        """Asks the plug-in for the first time, where there is one. Raises ConfigError."""
        if self._files.plug_in is not None:
            await asyncio.to_thread(self._ask, self._files)

    async def credentials(self) -> Credentials:
        """The credentials to use now: files are looked at every TOKEN_SECONDS, a token that ends is renewed before.

        While they cannot be renewed the last ones go on, which is logged once and is the `problem`.
        """
        is_old = self._clock.monotonic() - self._checked_at >= TOKEN_SECONDS
        if is_old or (self._ends_soon() and not self._is_paused()):
            await self._renew_in_time()
        return self._known

    async def is_renewed(self, refused: Credentials) -> bool:
        """Whether others than the refused credentials are to be had now: the API server answered 401 to them."""
        if self._known is refused:
            await self._renew_in_time(is_refused=True)
        if self._known is not refused:
            return True
        if not self._is_refused:
            get_logger().warning("kubernetes.credentials_refused", server=refused.server)
        self._is_refused = True
        return False

    def note_accepted(self) -> None:
        """Takes note that the API server accepts the credentials."""
        self._is_refused = False

    def suspect(self) -> None:
        """Has the files looked at before the next request: a handshake failed, so they may just have changed."""
        self._checked_at = float("-inf")

    async def _renew_in_time(self, *, is_refused: bool = False) -> None:
        """Renews in one thread for all callers. The thread goes on when the deadline of a caller passes.

        Each caller in a thread of its own would leave none for anything else while a plug-in hangs.
        """
        async with self._turn:
            if not self._lock.locked():
                await asyncio.to_thread(self._renew, is_refused=is_refused)

    def _renew(self, *, is_refused: bool = False) -> None:
        """Reads changed files and asks the plug-in where it is due; runs in a thread, one at a time."""
        with self._lock:
            try:
                self._read_files()
                if self._files.plug_in is not None and (is_refused or self._ends_soon()):
                    if self._is_paused():
                        return
                    self._ask(self._files)
            except ConfigError as error:
                if self._problem is None:
                    get_logger().warning("kubernetes.renewal_failed", problem=str(error))
                self._problem = str(error)
            else:
                self._checked_at = self._clock.monotonic()
                self._problem = None

    def _read_files(self) -> None:
        """Takes over what changed in the files; raises ConfigError and stays as it is when they cannot be used."""
        if self._files.read_again is None:
            return
        mark = self._look()
        if mark == self._mark:
            return
        files = self._files.read_again()
        if files.plug_in is None:
            self._known, self._given = files, None
        elif self._given is not None and files.plug_in == self._files.plug_in:
            self._known = _with_given(files, self._given)
        else:
            self._ask(files)
        if self._mark is not None:
            get_logger().info("kubernetes.credentials_renewed", server=files.server)
        # Files that are named for the first time are read once more at the next look, so that none is missed.
        self._files, self._mark = files, mark

    def _ask(self, files: Credentials) -> None:
        """Runs the plug-in; raises ConfigError when it gives nothing that can be used."""
        try:
            given = ask_plug_in(files.plug_in or {}, files.folder, self._redact)
            self._known, self._given = _with_given(files, given), given
        except ValueError as error:
            message = f"{UNUSABLE}: {error}"
            raise ConfigError((Fault(f"{SETTING}.kubeconfig", message),)) from error
        finally:
            self._asked_at = self._clock.monotonic()  # at the end: one that hangs for a minute gets its pause, too

    def _ends_soon(self) -> bool:
        """Whether what the plug-in gave ends within the margin, or has ended."""
        end = None if self._given is None else self._given.ends_at
        return end is not None and self._clock.now() >= end - MARGIN_SECONDS

    def _is_paused(self) -> bool:
        """Whether the plug-in was asked a moment ago: one that fails must not be run for every request."""
        return self._clock.monotonic() - self._asked_at < PLUG_IN_SECONDS

    def _look(self) -> Mark:
        """The content of all files."""
        return fingerprint(self._files.files, is_system=self._files.is_system_trusted)


def _with_given(files: Credentials, given: Given) -> Credentials:
    """The kubeconfig's credentials with what the plug-in gave; raises ValueError when that cannot be used."""
    if given.token is not None:
        require_token(given.token, "the plug-in's answer")
    if given.certificate is None or files.read_again is None or files.tls is None:
        return replace(files, token=given.token)
    # A context cannot forget a certificate, so each one gets a context of its own.
    tls = files.read_again().tls
    if tls is not None:
        given.load_into(tls)
    return replace(files, tls=tls, token=given.token)


@asynccontextmanager
async def opened(
    credentials: Credentials,
    clock: Clock | None = None,
    *,
    max_age_seconds: float = MAX_AGE_SECONDS,
    redact: Redact = str,
) -> AsyncIterator[ApiAccess]:
    """Opens the connections and closes them at exit. Raises ConfigError when a plug-in does not give credentials."""
    async with Connections.opened(max_connections=MAX_CONNECTIONS, max_age_seconds=max_age_seconds) as connections:
        access = ApiAccess(credentials, connections, clock or SystemClock(), redact)
        await access.start()
        yield access


def in_cluster(folder: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> Credentials:
    """The pod's ServiceAccount; reads files, so call it off the event loop.

    Raises ConfigError with every fault. The address is in KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError((_fault(OUTSIDE),))
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
    return Credentials(
        f"https://{place}",
        tls,
        token=token,
        token_path=path,
        files=(folder / "ca.crt", path),
        read_again=lambda: in_cluster(folder, environment),
    )


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


def _fault(message: str) -> Fault:
    return Fault(SETTING, f"{UNUSABLE}: {message}")
