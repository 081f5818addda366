"""TLS contexts that follow their files: CAs, client certificates, and the system's trust store.

A process that loads its trust only once would report servers with rotated certificates as down until it restarts. So
each adapter gets its context from a Trust before it connects, and a Trust reads its files again when they changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from chassis.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CHECK_SECONDS = 5.0
"""How often the files are checked during requests; after a failed handshake they are checked at once."""
MAX_ENTRIES = 2000
"""Most files in a folder of CAs. Debian's has about 300."""

Mark = tuple[tuple[str, str], ...]


class Trust:
    """A TLS context that is rebuilt when its files changed.

    If they cannot be loaded (missing or half written), the last context stays in use; this is logged once.
    """

    def __init__(
        self,
        make: Callable[[], ssl.SSLContext],
        files: Iterable[str | Path] = (),
        *,
        is_system: bool = False,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        """`is_system` also follows OpenSSL's default CAs, which SSL_CERT_FILE and SSL_CERT_DIR may name."""
        self._make = make
        self._files = tuple(Path(file) for file in files)
        self._is_system = is_system
        self._check_seconds = check_seconds
        self._context: ssl.SSLContext | None = None
        self._mark: Mark | None = None
        self._checked_at = 0.0
        self._is_failing = False
        self._authorities = 0

    async def context(self) -> ssl.SSLContext:
        """The current context. Raises OSError or ValueError if none was ever loaded."""
        now = time.monotonic()
        known = self._context
        if known is None or now - self._checked_at >= self._check_seconds:
            self._checked_at = now
            return await asyncio.to_thread(self.read)
        return known

    def suspect(self) -> None:
        """Makes the next connection check the files: a handshake failed, so they may just have changed."""
        self._checked_at = float("-inf")

    def read(self) -> ssl.SSLContext:
        """The same as `context`, but checks the files now; call it off the event loop."""
        mark = fingerprint(self._files, is_system=self._is_system)
        known = self._context
        if known is not None and mark == self._mark:
            return known
        try:
            made = self._load()
        except (OSError, ValueError) as error:
            if known is None:
                raise
            if not self._is_failing:
                self._is_failing = True
                get_logger().warning("trust.read_failed", files=[str(file) for file in self._files], problem=str(error))
            return known
        if known is not None:
            get_logger().info("trust.renewed", files=[str(file) for file in self._files], system=self._is_system)
        self._is_failing = False
        # The mark was taken before the files were read: the next check notices changes since then.
        self._context, self._mark = made, mark
        self._authorities = made.cert_store_stats()["x509_ca"]
        return made

    def _load(self) -> ssl.SSLContext:
        """A new context. OpenSSL silently accepts an empty or missing system file: this raises ValueError."""
        made = self._make()
        if self._authorities and not made.cert_store_stats()["x509_ca"]:
            raise ValueError("the files contain no CA certificate")
        return made


def fingerprint(files: Iterable[Path], *, is_system: bool = False) -> Mark:
    """A mark of the files' content, which differs when a file changed; an unreadable file has a mark too."""
    marks = [(str(file), _content(file)) for file in files]
    if is_system:
        paths = ssl.get_default_verify_paths()
        marks += [(str(file), _content(Path(file))) for file in (paths.cafile,) if file]
        marks += [(str(folder), _entries(folder)) for folder in (paths.capath or "").split(os.pathsep) if folder]
    return tuple(marks)


def _content(path: Path) -> str:
    """The digest of a file, or why it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"errno {error.errno}"


def _entries(folder: str) -> str:
    """The digest of a folder's names, sizes and change times; symbolic links are followed."""
    digest = hashlib.sha256()
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name)[:MAX_ENTRIES]:
                try:
                    found = entry.stat()
                except OSError as error:
                    digest.update(f"{entry.name} errno {error.errno}\n".encode())
                    continue
                digest.update(f"{entry.name} {found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode())
    except OSError as error:
        return f"errno {error.errno}"
    return digest.hexdigest()


def system_context() -> ssl.SSLContext:
    """Verifies servers by the system's CAs and their host names, as HTTP clients do; reads files."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


@lru_cache(maxsize=1)
def system_trust() -> Trust:
    """The Trust of the system's CAs, shared by all HTTP clients of the process."""
    return Trust(system_context, is_system=True)
