"""Finds the newest backup in a directory, its size, and whether it is complete. Blocking: run it in a thread.

Complete means that the gzip stream can be read to its end with the right checksums, as `gunzip -t` does. A backup may
have many gigabytes, so it is read in slices: each call continues where the last one stopped, and ends at its deadline.
"""

from __future__ import annotations

import errno
import heapq
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pydantic import field_validator

from chassis.config import Section
from chassis.errors import BackendError, PermanentError, Reason, TransientError
from exporter.items import FUTURE_SECONDS

GZIP = 16 + zlib.MAX_WBITS
"""zlib's window size with the gzip wrapper: header, checksum and length are verified (zlib manual, inflateInit2)."""
SLICE_BYTES = 1024 * 1024
MAX_ENTRIES = 20_000
"""Most files read from one directory: fifty years of daily backups."""
KEPT_FILES = 3
"""How many files are tried to find a complete one when the newest is not."""
MAX_PROOFS = 200
"""Results that are remembered: three files for each of twenty places, and more."""
GZIP_SUFFIX = ".gz"

Identity = tuple[str, int, int]
"""Path, size and modification time in ns: if these are equal, so is the content."""


class BackupPlace(Section):
    """One directory with one kind of backup."""

    kind: str
    """Value of the label `kind`."""
    directory: Path
    """Where the backups are, mounted for reading."""
    pattern: str = "full_backup_*.sql.gz"
    """Pattern of the files, relative to the directory; `incremental_*/base.tar.gz` searches one level down."""

    @field_validator("pattern")
    @classmethod
    def _can_be_looked_for(cls, pattern: str) -> str:
        """Refuses patterns that pathlib would refuse only when it searches, such as an empty or absolute one."""
        try:
            next(Path("/nonexistent").glob(pattern), None)
        except NotImplementedError:
            raise ValueError("the pattern must be relative to the directory") from None
        return pattern


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One backup."""

    path: str
    size_bytes: int
    modified_ns: int

    @property
    def identity(self) -> Identity:
        """Distinguishes it from a file that replaced it."""
        return self.path, self.size_bytes, self.modified_ns

    @property
    def modified(self) -> float:
        """Unix seconds."""
        return self.modified_ns / 1e9

    @property
    def is_compressed(self) -> bool:
        """Whether its integrity can be checked from its bytes."""
        return self.path.endswith(GZIP_SUFFIX)


@dataclass(frozen=True, slots=True)
class Folder:
    """The content of one directory, without files that are still being written. None is not known yet."""

    count: int
    newest: BackupFile | None = None
    previous: BackupFile | None = None
    is_whole: bool | None = None
    """Whether the newest is complete; also None for a file without checksums."""
    success: BackupFile | None = None
    """The newest intact one, or the newest that is not empty if integrity cannot be checked."""
    has_success: bool | None = None
    future: int = 0
    """Files whose time lies in the future: their real time is unknown, so the other fields ignore them."""
    failure: BackendError | None = None
    """Why the first unreadable file could not be read; the others were read."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of reading a directory's entries."""

    count: int
    """Finished backups."""
    future: int
    """How many of them are from the future."""
    newest: list[BackupFile]
    """The newest of the others, the newest first."""
    failure: OSError | None
    """Why the first unreadable entry could not be read."""


@dataclass(slots=True)
class Proof:
    """The reading position in one compressed file."""

    identity: Identity
    offset: int = 0
    pending: bytes = b""
    stream: zlib._Decompress = field(default_factory=lambda: zlib.decompressobj(GZIP))

    def advance(self, is_over: Callable[[], bool]) -> bool | None:
        """Reads on until the deadline; True when complete, False when broken, None when there is more to read."""
        try:
            with Path(self.identity[0]).open("rb") as file:
                file.seek(self.offset)
                while not is_over():
                    if not self.pending:
                        self.pending = file.read(SLICE_BYTES)
                        self.offset += len(self.pending)
                    if not self.pending:
                        return self.stream.eof
                    self._inflate()
        except (zlib.error, EOFError):
            return False
        return None

    def _inflate(self) -> None:
        """One slice of output, bounded whatever the compression; a gzip file may hold several members in a row."""
        if self.stream.eof:
            self.pending = self.pending.lstrip(b"\0")  # padding after the last member, as gunzip allows
            if self.pending:
                self.stream = zlib.decompressobj(GZIP)
        if self.pending:
            self.stream.decompress(self.pending, SLICE_BYTES)
            self.pending = self.stream.unused_data if self.stream.eof else self.stream.unconsumed_tail


@dataclass(slots=True)
class Inspector:
    """Remembers which files were complete or broken, by path, size and time."""

    settle_seconds: float
    is_verifying: bool = True
    proofs: dict[Identity, bool] = field(default_factory=dict)
    unfinished: dict[str, Proof] = field(default_factory=dict)
    """The file being read, by kind: several directories share the time, and each keeps its position."""

    def look(self, place: BackupPlace, now: float, is_over: Callable[[], bool]) -> Folder:
        """The directory's content now; raises BackendError when it cannot be read.

        A file that cannot be read is unknown, neither complete nor broken, and the previous one is tried.
        """
        try:
            listing = list_newest(place, now, self.settle_seconds)
        except OSError as error:
            raise _file_error(error) from error
        failure = listing.failure
        for file in listing.newest:
            try:
                if self._judge(place.kind, file, is_over) is not False:
                    break
            except FileNotFoundError:
                continue  # deleted meanwhile
            except OSError as error:
                failure = failure or error
        return self._report(listing, None if failure is None else _file_error(failure))

    def _judge(self, kind: str, file: BackupFile, is_over: Callable[[], bool]) -> bool | None:
        """Whether a file is complete as far as is known, after reading on until the deadline."""
        if file.size_bytes == 0:
            return False
        if not (self.is_verifying and file.is_compressed):
            return None
        if file.identity in self.proofs:
            return self.proofs[file.identity]
        proof = self.unfinished.get(kind)
        if proof is None or proof.identity != file.identity:
            proof = self.unfinished[kind] = Proof(file.identity)
        found = proof.advance(is_over)
        if found is not None:
            del self.unfinished[kind]
            while len(self.proofs) >= MAX_PROOFS:
                del self.proofs[next(iter(self.proofs))]
            self.proofs[file.identity] = found
        return found

    def _report(self, listing: Listing, failure: BackendError | None) -> Folder:
        """The newest files as a report.

        Whether a file from the future, or an unreadable one, is a good backup is unknown.
        """
        count, future, files = listing.count, listing.future, listing.newest
        without = None if future or failure is not None else False
        if not files:
            return Folder(count, has_success=without, future=future, failure=failure)
        states = [self._known(file) for file in files]
        success = next((file for file, state in zip(files, states, strict=True) if state in {"whole", "filled"}), None)
        is_whole = {"whole": True, "broken": False}.get(states[0])
        has_success = True if success is not None else (None if "unread" in states else without)
        previous = files[1] if len(files) > 1 else None
        return Folder(count, files[0], previous, is_whole, success, has_success, future, failure)

    def _known(self, file: BackupFile) -> str:
        """whole, broken, filled (no checksum to ask for) or unread."""
        if file.size_bytes == 0:
            return "broken"
        if not (self.is_verifying and file.is_compressed):
            return "filled"
        proof = self.proofs.get(file.identity)
        return "unread" if proof is None else ("whole" if proof else "broken")


def list_newest(place: BackupPlace, now: float, settle_seconds: float) -> Listing:
    """The finished backups.

    Raises OSError, or PermanentError if there are too many. A file's time is set by its writer or by a copy. A missing
    directory is an error: Path.glob would call it empty.
    """
    next(place.directory.iterdir(), None)
    entries = list(islice(place.directory.glob(place.pattern), MAX_ENTRIES + 1))
    if len(entries) > MAX_ENTRIES:
        raise PermanentError(Reason.MALFORMED, f"more than {MAX_ENTRIES} files match {place.pattern}")
    known: list[BackupFile] = []
    failure = None
    for entry in entries:
        try:
            found = _describe(entry)
        except OSError as error:
            failure = failure or error
        else:
            known += [found] if found is not None else []
    files = [file for file in known if now - file.modified >= settle_seconds]
    future = sum(file.modified > now + max(FUTURE_SECONDS, settle_seconds) for file in known)
    newest = heapq.nlargest(KEPT_FILES, files, key=lambda file: (file.modified_ns, file.path))
    return Listing(len(files) + future, future, newest, failure)


def modified_at(path: Path) -> float | None:
    """When a marker file was last written, Unix seconds; None when it is not there. Raises BackendError."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _file_error(error) from error


def _describe(path: Path) -> BackupFile | None:
    """A regular file; None for anything else, and for a file deleted meanwhile. Raises OSError."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return BackupFile(str(path), status.st_size, status.st_mtime_ns) if path.is_file() else None


def _file_error(error: OSError) -> BackendError:
    """The error for a failure of the file system. Its text holds a configured path and no secret."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return PermanentError(Reason.MISSING, str(error))
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PermanentError(Reason.PERMISSION, str(error))
    return TransientError(Reason.UNREACHABLE, str(error))
