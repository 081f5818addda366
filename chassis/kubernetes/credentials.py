"""Our identity at a Kubernetes API, and the connections to it: credentials for each request, renewed when needed.

In a pod the credentials are the ServiceAccount's; elsewhere they come from a kubeconfig, read by
chassis.kubernetes.kubeconfig. Both are read again when a file changed; an exec plug-in runs again before its token
expires, and after the API server refused it. kubernetes_asyncio, which costs 35 MiB, is imported only for the
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
    "this is not a pod (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set); outside a cluster "
    f"set {SETTING}.kubeconfig to a kubeconfig file"
)
TOKEN_SECONDS = 60.0
"""Longest use of a file before it is read again. The kubelet replaces a token at four fifths of its life, which is 10
minutes or more.
"""
PLUG_IN_SECONDS = 10.0
"""Pause between two runs of a plug-in that failed or whose token was refused."""
MARGIN_SECONDS = 60.0
"""How long before its token expires a plug-in is run again."""
MAX_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach one API server. The representation contains no secret."""

    server: str
    """URL without a trailing slash; it may have a path."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None for a server on plain http."""
    server_name: str | None = None
    """The name in the server's certificate if it differs from the URL's host."""
    token: str | None = field(default=None, repr=False)
    """The bearer token; None without one. With `token_path`, the file's content so far."""
    token_path: Path | None = None
    """File that the token is read from again."""
    proxy: str | None = field(default=None, repr=False)
    """URL of the HTTP proxy; it may contain a name and a password."""
    plug_in: Mapping[str, Any] | None = field(default=None, repr=False)
    """The kubeconfig's user entry, if a plug-in supplies our credentials."""
    folder: Path = Path()
    """Folder for a plug-in's program with a relative path."""
    files: tuple[Path, ...] = ()
    """The files that these credentials come from; when one changes, `read_again` returns the new credentials."""
    is_system_trusted: bool = False
    """Whether the system's CAs are trusted, and followed too."""
    read_again: Callable[[], Credentials] | None = field(default=None, repr=False, compare=False)
    """Reads the files again; raises ConfigError. None for credentials that cannot change."""


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
        """The known problem with the credentials; None without one."""
        refused = "the API server refuses the credentials (401)" if self._is_refused else None
        return self._problem or refused

    async def start(self) -> None:
        """Runs the plug-in for the first time, if there is one. Raises ConfigError."""
        if self._files.plug_in is not None:
            await asyncio.to_thread(self._ask, self._files)

    async def credentials(self) -> Credentials:
        """The current credentials: files are checked every TOKEN_SECONDS, and a token is renewed before it expires.

        If renewal fails, the last credentials stay in use; this is logged once and is the `problem`.
        """
        is_old = self._clock.monotonic() - self._checked_at >= TOKEN_SECONDS
        if is_old or (self._ends_soon() and not self._is_paused()):
            await self._renew_in_time()
        return self._known

    async def is_renewed(self, refused: Credentials) -> bool:
        """Whether other credentials are available, after the API server answered 401 to these."""
        if self._known is refused:
            await self._renew_in_time(is_refused=True)
        if self._known is not refused:
            return True
        if not self._is_refused:
            get_logger().warning("kubernetes.credentials_refused", server=refused.server)
        self._is_refused = True
        return False

    def note_accepted(self) -> None:
        """Records that the API server accepts the credentials."""
        self._is_refused = False

    def suspect(self) -> None:
        """Makes the next request check the files: a handshake failed, so they may just have changed."""
        self._checked_at = float("-inf")

    async def _renew_in_time(self, *, is_refused: bool = False) -> None:
        """Renews in one thread for all callers; it goes on when a caller's deadline passes.

        With one thread for each caller, a hanging plug-in would use up all threads.
        """
        async with self._turn:
            if not self._lock.locked():
                await asyncio.to_thread(self._renew, is_refused=is_refused)

    def _renew(self, *, is_refused: bool = False) -> None:
        """Reads changed files and runs a plug-in that is due; runs in a thread, one at a time."""
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
        """Applies changed files; raises ConfigError and changes nothing if they are unusable."""
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
        # Newly named files are read once more at the next check, so that no change is missed.
        self._files, self._mark = files, mark

    def _ask(self, files: Credentials) -> None:
        """Runs the plug-in; raises ConfigError if its output is unusable."""
        try:
            given = ask_plug_in(files.plug_in or {}, files.folder, self._redact)
            self._known, self._given = _with_given(files, given), given
        except ValueError as error:
            message = f"{UNUSABLE}: {error}"
            raise ConfigError((Fault(f"{SETTING}.kubeconfig", message),)) from error
        finally:
            self._asked_at = (
                self._clock.monotonic()
            )  # at the end, so that a plug-in that hangs for a minute also gets its pause

    def _ends_soon(self) -> bool:
        """Whether the plug-in's credentials have expired or expire within the margin."""
        end = None if self._given is None else self._given.ends_at
        return end is not None and self._clock.now() >= end - MARGIN_SECONDS

    def _is_paused(self) -> bool:
        """Whether the plug-in ran a moment ago: a failing one must not run for every request."""
        return self._clock.monotonic() - self._asked_at < PLUG_IN_SECONDS

    def _look(self) -> Mark:
        """The content of all files."""
        return fingerprint(self._files.files, is_system=self._files.is_system_trusted)


def _with_given(files: Credentials, given: Given) -> Credentials:
    """The kubeconfig's credentials with those of the plug-in; raises ValueError if these are unusable."""
    if given.token is not None:
        require_token(given.token, "the plug-in's answer")
    if given.certificate is None or files.read_again is None or files.tls is None:
        return replace(files, token=given.token)
    # A context cannot drop a certificate, so each certificate gets its own context.
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
    """Opens the connections and closes them at exit. Raises ConfigError if a plug-in supplies no credentials."""
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
        faults.append(_fault("KUBERNETES_SERVICE_PORT is not a number"))
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
    """A token file's content without surrounding space; raises ValueError, which quotes nothing."""
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
