"""Reads an image archive, as `docker save` writes it: digest, configuration, sizes, and the packages inside."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

GZIP = b"\x1f\x8b"
FOLDER = "opt/controlcore"
"""Where the image has everything that is ours."""
METADATA = re.compile(r"\.dist-info/METADATA$")
DPKG = "var/lib/dpkg/status"
DPKG_FOLDER = "var/lib/dpkg/status.d/"
"""Where images without dpkg list each package in a file of its own."""
WHITEOUT = ".wh."
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class ArchiveError(RuntimeError):
    """The archive is not one of an image of ours; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An image in a file. `digest` is that of its configuration, which names every layer by its content."""

    path: Path
    digest: str
    document: Mapping[str, object]
    layers: Sequence[str]

    @property
    def platform(self) -> str:
        """For which machines it is: linux/amd64."""
        return f"{self.document['os']}/{self.document['architecture']}"

    @property
    def settings(self) -> Mapping[str, object]:
        """User, environment, health check, labels and the like."""
        return cast("Mapping[str, object]", self.document["config"])

    def without_traces(self, path: Path, names: Sequence[str], epoch: int) -> Archive:
        """Writes the archive again without what differs between builds; the same archive when there is nothing.

        buildah and podman note the id of the container that built the image, Docker before 23 the time of each step.
        """
        document = _without_traces(self.document, datetime.fromtimestamp(epoch, UTC).strftime(TIME_FORMAT))
        if document == self.document:
            return self
        text = json.dumps(document, separators=(",", ":")).encode()
        config = f"{hashlib.sha256(text).hexdigest()}.json"
        entry = {"Config": config, "RepoTags": list(names), "Layers": list(self.layers)}
        with tarfile.open(self.path) as source, tarfile.open(path, "w") as target:
            for name in dict.fromkeys(self.layers):
                member = source.getmember(name)
                _add(target, name, cast("IO[bytes]", source.extractfile(member)), member.size)
            for name, content in {config: text, "manifest.json": json.dumps([entry]).encode()}.items():
                _add(target, name, io.BytesIO(content), len(content))
        return read_archive(path)

    def move(self, path: Path) -> Archive:
        """Renames the file."""
        self.path.replace(path)
        return replace(self, path=path)

    def measure(self) -> tuple[int, int]:
        """Bytes of the last layer, which alone is ours, and of all, both unpacked. ArchiveError if it is not ours."""
        sizes = [self._measure_layer(name) for name in self.layers]
        foreign = sorted(set(self._names(self.layers[-1])) - {FOLDER.partition("/")[0], FOLDER})
        foreign = [name for name in foreign if not name.startswith(f"{FOLDER}/")]
        if foreign:
            raise ArchiveError(f"the last layer holds more than {FOLDER}: {', '.join(foreign[:5])}")
        return sizes[-1], sum(sizes)

    def read_packages(self) -> tuple[dict[str, str], dict[str, str]]:
        """Name and version of each Python distribution and of each Debian package in the image."""
        python: dict[str, str] = {}
        debian: dict[str, str] = {}
        for name in self.layers:
            with self._open(name) as file, tarfile.open(fileobj=file, mode="r|") as layer:
                for member in layer:
                    place = member.name.removeprefix("./")
                    is_listed = METADATA.search(place) or place == DPKG or place.startswith(DPKG_FOLDER)
                    if not is_listed or not member.isfile() or place.endswith(".md5sums"):
                        continue
                    text = cast("IO[bytes]", layer.extractfile(member)).read().decode()
                    if METADATA.search(place):
                        python |= _read_paragraph(text, "Name")
                    else:
                        for paragraph in text.split("\n\n"):
                            debian |= _read_paragraph(paragraph, "Package")
        return python, debian

    def unpack(self, folder: Path) -> None:
        """Writes the image's whole file system into the folder; root alone may do this."""
        for name in self.layers:
            if any(part.rpartition("/")[2].startswith(WHITEOUT) for part in self._names(name)):
                raise ArchiveError("a layer removes files of an earlier one, which is not supported here")
            with self._open(name) as file, tarfile.open(fileobj=file, mode="r|") as layer:
                # Not in every Python 3.11: a filter that takes what we built ourselves as it is.
                layer.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
                layer.extractall(folder, numeric_owner=True)  # noqa: S202 - our own image  # nosec B202

    def _names(self, layer: str) -> list[str]:
        with self._open(layer) as file, tarfile.open(fileobj=file, mode="r|") as content:
            return [member.name.removeprefix("./").rstrip("/") or "." for member in content]

    def _measure_layer(self, layer: str) -> int:
        with self._open(layer) as file:
            return sum(len(block) for block in iter(lambda: file.read(1 << 20), b""))

    @contextmanager
    def _open(self, layer: str) -> Iterator[IO[bytes]]:
        with tarfile.open(self.path) as archive:
            raw = cast("IO[bytes]", archive.extractfile(layer))
            is_packed = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            if not is_packed:
                yield raw
                return
            with gzip.open(raw) as plain:
                yield cast("IO[bytes]", plain)


def read_archive(path: Path) -> Archive:
    """Reads what the archive says of its one image."""
    with tarfile.open(path) as archive:
        (entry,) = json.load(cast("IO[bytes]", archive.extractfile("manifest.json")))
        text = cast("IO[bytes]", archive.extractfile(entry["Config"])).read()
    return Archive(path, f"sha256:{hashlib.sha256(text).hexdigest()}", json.loads(text), tuple(entry["Layers"]))


def _without_traces(document: Mapping[str, object], latest: str) -> dict[str, object]:
    """The configuration without the container's id; no time in it is later than this one (RFC 3339, UTC)."""

    def limit(entry: Mapping[str, object]) -> dict[str, object]:
        created = str(entry.get("created", ""))
        # Fractions of a second come before the Z.
        return {**entry, "created": latest} if created.rstrip("Z") > latest.rstrip("Z") else dict(entry)

    history = cast("list[dict[str, object]]", document.get("history", []))
    kept = {key: value for key, value in document.items() if key != "container"}
    return limit({**kept, "history": [limit(entry) for entry in history]})


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    """One file without a time or an owner, so that one image has one archive."""
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, content)


def _read_paragraph(text: str, key: str) -> dict[str, str]:
    """The package that begins with these lines; empty for one that is removed and left its configuration behind."""
    fields = dict(re.findall(rf"^({key}|Version|Status): (.+)$", text.partition("\n\n")[0], re.MULTILINE))
    is_there = key in fields and fields.get("Status", "install ok installed").endswith(" installed")
    return {fields[key].strip(): fields["Version"].strip()} if is_there else {}
