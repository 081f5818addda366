"""An image archive, as docker, podman and buildah write it, is measured and listed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from tools.install.image.archive import ArchiveError, read_archive

CONFIG = json.dumps(
    {"os": "linux", "architecture": "arm64", "config": {"User": "65532:65532"}, "rootfs": {"diff_ids": []}}
).encode()
METADATA = "opt/controlcore/lib/python3.12/site-packages/{}.dist-info/METADATA"
STATUS = """Package: libc6
Status: install ok installed
Version: 2.36-9

Package: gone
Status: deinstall ok config-files
Version: 1

Package: python3
Status: hold ok installed
Version: 3.11.2-1
"""


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


BASE = packed({"./var/lib/dpkg/status": STATUS.encode(), "usr/lib/x": b"x" * 5000})
OURS = packed(
    {
        METADATA.format("aiohttp-3.14.5"): b"Metadata-Version: 2.1\nName: aiohttp\nVersion: 3.14.5\n\nVersion: 9\n",
        METADATA.format("controlcore_sidecar-0.1.0"): b"Name: controlcore-sidecar\nVersion: 0.1.0\n",
    }
)


@pytest.fixture
def write(tmp_path):
    def write(*layers: bytes, config: bytes = CONFIG):
        names = [f"{index}/layer.tar" for index in range(len(layers))]
        manifest = json.dumps([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": names}]).encode()
        path = tmp_path / "image.tar"
        path.write_bytes(
            packed({"manifest.json": manifest, "config.json": config, **dict(zip(names, layers, strict=True))})
        )
        return read_archive(path)

    return write


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_last_layer_is_what_comes_over_the_base_and_is_measured_unpacked(write, compress):
    assert write(compress(BASE), compress(OURS)).measure() == (len(OURS), len(BASE) + len(OURS))


def test_digest_is_that_of_the_configuration(write):
    archive = write(BASE, OURS)
    assert archive.digest == f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
    assert (archive.platform, archive.settings) == ("linux/arm64", {"User": "65532:65532"})


def test_packages_of_every_layer_are_listed_and_removed_ones_are_not(write):
    assert write(BASE, gzip.compress(OURS)).read_packages() == (
        {"aiohttp": "3.14.5", "controlcore-sidecar": "0.1.0"},
        {"libc6": "2.36-9", "python3": "3.11.2-1"},
    )


def test_packages_of_a_base_without_dpkg_are_listed(write):
    files = {
        "var/lib/dpkg/status.d/libc6": b"Package: libc6\nVersion: 2.36-9\n",
        "var/lib/dpkg/status.d/libc6.md5sums": b"Package: none\nVersion: 0\n",
    }
    assert write(packed(files), OURS).read_packages()[1] == {"libc6": "2.36-9"}


def test_last_layer_with_files_of_the_base_is_not_measured_as_ours(write):
    with pytest.raises(ArchiveError, match="holds more than opt/controlcore: usr/lib/y"):
        write(BASE, packed({"opt/controlcore/bin/x": b"", "usr/lib/y": b"y"})).measure()


def test_whole_file_system_is_unpacked(write, tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    write(packed({"usr/lib/x": b"old"}), gzip.compress(packed({"usr/lib/x": b"new", "opt/y": b"y"}))).unpack(folder)
    assert (folder / "usr/lib/x").read_bytes() == b"new"
    assert (folder / "opt/y").is_file()


def test_layer_that_removes_files_is_not_unpacked_wrongly(write, tmp_path):
    with pytest.raises(ArchiveError, match="removes files"):
        write(BASE, packed({"usr/lib/.wh.x": b""})).unpack(tmp_path)


EPOCH, LATEST = 1700000000, "2023-11-14T22:13:20Z"
BEFORE = "2023-11-14T22:13:19.5Z"


def configured(created: str, container: str) -> bytes:
    history = [{"created": BEFORE, "created_by": "base"}, {"created": created, "created_by": "COPY"}]
    return json.dumps({**json.loads(CONFIG), "created": created, "history": history, "container": container}).encode()


def test_two_builds_differ_in_container_and_times_and_become_one_archive(write, tmp_path):
    texts = [configured("2023-11-14T22:13:20.364Z", "4b70"), configured("2024-01-01T00:00:00Z", "30de")]
    paths = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for text, path in zip(texts, paths, strict=True):
        archive = write(BASE, OURS, config=text).without_traces(path, ["localhost/x:1"], EPOCH)
        assert archive.path == path
        assert "container" not in archive.document
        assert archive.document["created"] == LATEST
        assert [entry["created"] for entry in archive.document["history"]] == [BEFORE, LATEST]
        assert archive.measure() == (len(OURS), len(BASE) + len(OURS))
        with tarfile.open(path) as written:
            (entry,) = json.load(written.extractfile("manifest.json"))
        assert (entry["RepoTags"], entry["Config"]) == (["localhost/x:1"], f"{archive.digest[7:]}.json")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_archive_without_traces_stays_as_it_is(write, tmp_path):
    document = json.loads(configured(LATEST, "4b70"))
    del document["container"]
    archive = write(BASE, OURS, config=json.dumps(document).encode())
    assert archive.without_traces(tmp_path / "again.tar", [], EPOCH) is archive
    assert not (tmp_path / "again.tar").exists()
