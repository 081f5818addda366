"""The bearer tokens that callers must present, read from files and again when these change."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path
from shlex import quote
from typing import Protocol

from chassis.clock import Clock
from chassis.documents import why_unreadable
from chassis.errors import ControlCoreError
from chassis.log import get_logger

RECHECK_SECONDS = 1.0
"""A replaced file takes effect within this time. Larger refuses valid callers for longer after a rotation."""
MAX_TOKEN_BYTES = 4096
MIN_TOKEN_CHARACTERS = 16
"""A shorter token is refused: it could be guessed."""


class NoCredentialError(ControlCoreError):
    """A token file could never be read, so an unknown token may be valid; retry."""


class NoteRead(Protocol):
    """Gets whether every token file could be read."""

    def __call__(self, *, are_readable: bool) -> None:
        """Stores the result."""
        ...


class TokenCredentials:
    """Finds the files that contain a presented token, in a time that does not depend on how much of it is correct.

    Only SHA-256 digests are kept in memory, and all of them are compared each time. If a file is emptied, deleted or
    becomes unreadable, its token stays valid until the file contains another one or the program restarts.
    """

    def __init__(self, files: tuple[Path, ...], clock: Clock, note: NoteRead | None = None) -> None:
        self._files = tuple(dict.fromkeys(files))
        self._clock = clock
        self._note = note
        self._digests: dict[Path, bytes] = {}
        self._checked_at: float | None = None
        self._problems: tuple[str, ...] = ()
        self._reading = asyncio.Lock()
        self._log = get_logger()

    @property
    def are_configured(self) -> bool:
        """Whether there is any token file."""
        return bool(self._files)

    async def find(self, presented: str) -> tuple[Path, ...]:
        """The files with this token; empty if there is none.

        Raises NoCredentialError if no known token matches and one file was never read: the token may be valid.
        """
        # A caller that arrives while the files are read waits: without the lock, it would find no token yet.
        async with self._reading:
            await self._read_again()
        digest = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
        # Every digest is compared, even after a match: the duration must not show which token it was.
        is_held = {path: hmac.compare_digest(digest, own) for path, own in self._digests.items()}
        found = tuple(path for path in self._files if is_held.get(path, False))
        if not found and len(self._digests) < len(self._files):
            raise NoCredentialError("a token file could never be read")
        return found

    async def _read_again(self) -> None:
        """Reads the files, unless they were just read."""
        now = self._clock.monotonic()
        if self._checked_at is not None and now - self._checked_at < RECHECK_SECONDS:
            return
        digests, problems = await asyncio.to_thread(_read, self._files)
        if problems and problems != self._problems:
            kept = [str(path) for path in self._files if path in self._digests and path not in digests]
            self._log.error("credential.unreadable", problems=list(problems), kept_as_read_before=kept)
        self._digests.update(digests)
        self._problems = problems
        if self._note is not None:
            self._note(are_readable=not problems)
        self._checked_at = now


def check_files(files: tuple[Path, ...]) -> tuple[str, ...]:
    """The problems of the token files, one sentence each; blocks on the disk."""
    return _read(files)[1]


def new_token(path: Path) -> str:
    """The command that writes a new token into a file that only its owner can read."""
    return f"umask 077 && openssl rand -hex 32 > {quote(str(path))}"


def _read(files: tuple[Path, ...]) -> tuple[dict[Path, bytes], tuple[str, ...]]:
    """The digest of each readable token, and the problem of each file without one."""
    digests, problems = {}, []
    for path in files:
        try:
            token = path.read_bytes()[:MAX_TOKEN_BYTES].decode().strip()
        except FileNotFoundError:
            problems.append(f"the file {path} does not exist")
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"cannot read {path}: {why_unreadable(error)}")
            continue
        if len(token) < MIN_TOKEN_CHARACTERS:
            problems.append(f"the token in {path} needs at least {MIN_TOKEN_CHARACTERS} characters")
            continue
        digests[path] = hashlib.sha256(token.encode()).digest()
    return digests, tuple(problems)
