"""TLS contexts that follow their files: authorities, client certificates, and the system's trust store.

A process that loads its trust once calls every server with a rotated certificate "down" until it is restarted. So each
adapter asks a Trust for its context before it connects, and a Trust reads its files again when their content changed.
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
"""How often the files are looked at while requests follow each other; a failed handshake has them looked at next."""
MAX_ENTRIES = 2000
"""Of a folder of authorities. Debian's has about 300."""

Mark = tuple[tuple[str, str], ...]


class Trust:
    """A TLS context that is made again when the content of its files changed.

    While they cannot be loaded, because one is missing or half written, the last context goes on; that is logged once.
    """

    def __init__(
        self,
        make: Callable[[], ssl.SSLContext],
        files: Iterable[str | Path] = (),
        *,
        is_system: bool = False,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        """`is_system` also follows OpenSSL's default authorities, which SSL_CERT_FILE and SSL_CERT_DIR may name."""
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
        """The context to connect with now. Raises OSError or ValueError when none could ever be loaded."""
        now = time.monotonic()
        known = self._context
        if known is None or now - self._checked_at >= self._check_seconds:
            self._checked_at = now
            return await asyncio.to_thread(self.read)
        return known

    def suspect(self) -> None:
        """Has the files looked at before the next connection: a handshake failed, so they may just have changed."""
        self._checked_at = float("-inf")

    def read(self) -> ssl.SSLContext:
        """The same as `context`, looking at the files now; call it off the event loop."""
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
        # The mark was taken before the files were read: what changed meanwhile is noticed at the next look.
        self._context, self._mark = made, mark
        self._authorities = made.cert_store_stats()["x509_ca"]
        return made

    def _load(self) -> ssl.SSLContext:
        """A new context. OpenSSL loads a system file that is empty or absent without a word: ValueError for that."""
        made = self._make()
        if self._authorities and not made.cert_store_stats()["x509_ca"]:
            raise ValueError("no authority is left in the files")
        return made


def fingerprint(files: Iterable[Path], *, is_system: bool = False) -> Mark:
    """What the files hold, so that two marks differ when a file changed; a file that cannot be read has a mark too."""
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
    """The digest of a folder's names, sizes and times of change; symbolic links count as what they lead to."""
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
    """Verifies servers by the system's authorities and their host names, as HTTP clients do; reads files."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


@lru_cache(maxsize=1)
def system_trust() -> Trust:
    """The one Trust of the system's authorities that all HTTP clients of the process share."""
    return Trust(system_context, is_system=True)
