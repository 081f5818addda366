"""The first program that builds here is used; without one, each one's problem is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.install.image.engines import NAMES, BuildRequest, Engine, EngineError, find_engine

WORKING = {
    "docker": 'case "$1" in version) echo 28.2.2;; *) echo "      --secret stringArray";; esac',
    "podman": 'case "$1" in --version) echo "podman version 4.3.1";; esac',
    "buildah": 'case "$1" in --version) echo "buildah version 1.28.2 (image-spec 1.1.0-rc2)";; esac',
}
VERSIONS = {"docker": "28.2.2", "podman": "4.3.1", "buildah": "1.28.2"}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Writes a program onto the PATH, where there is nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)

    return write


@pytest.mark.parametrize("name", NAMES)
def test_only_program_is_used(programs, name):
    programs(name, WORKING[name])
    assert find_engine() == Engine(name, VERSIONS[name])


def test_first_that_works_is_used(programs):
    programs("docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    for name in ("podman", "buildah"):
        programs(name, WORKING[name])
    assert find_engine().name == "podman"
    assert find_engine("buildah").name == "buildah"


def test_without_a_program_each_problem_is_told_with_what_to_do(programs):
    programs("docker", 'echo "errors pretty printing" >&2; echo "Cannot connect to the Docker daemon" >&2; exit 1')
    programs("podman", "exit 125")
    with pytest.raises(EngineError) as raised:
        find_engine()
    assert str(raised.value).splitlines() == [
        "no program that builds images works here:",
        "  docker: `docker version --format {{.Server.Version}}` failed: Cannot connect to the Docker daemon",
        "  podman: `podman info` failed: status 125",
        "  buildah: not installed",
        "install one (Debian: apt-get install --no-install-recommends buildah)",
    ]


def test_wanted_program_is_not_replaced_by_another(programs):
    programs("podman", WORKING["podman"])
    with pytest.raises(EngineError, match="docker: not installed") as raised:
        find_engine("docker")
    assert "podman:" not in str(raised.value)


@pytest.mark.parametrize("help_script", ["echo no such option", "echo the buildx component is missing >&2; exit 1"])
def test_docker_without_buildkit_is_told(programs, help_script):
    programs("docker", f'case "$1" in version) echo 28.2.2;; *) {help_script};; esac')
    with pytest.raises(EngineError, match="without BuildKit: install its plug-in buildx"):
        find_engine("docker")


@pytest.fixture
def asked() -> BuildRequest:
    return BuildRequest(
        Path("/src"),
        ("one:1", "one:latest"),
        epoch=1700000000,
        arguments={"BASE_IMAGE": "base:1"},
        labels={"version": "1"},
        secrets={"pip": Path("/tmp/pip.conf")},
        platform="linux/arm64",
        is_cached=False,
        more=("--network=host",),
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_wish_is_in_the_command(name, asked):
    command = " ".join(Engine(name, "1").build_command(asked))
    assert command.startswith(f"{name} build ")
    assert command.endswith(" --network=host /src")
    for part in (
        "--build-arg SOURCE_DATE_EPOCH=1700000000",
        "--build-arg BASE_IMAGE=base:1",
        "--label version=1",
        "--secret id=pip,src=/tmp/pip.conf",
        "--tag one:1 --tag one:latest",
        "--platform linux/arm64",
        "--no-cache",
    ):
        assert f" {part} " in command


@pytest.mark.parametrize("name", ["podman", "buildah"])
def test_format_has_a_health_check_and_two_builds_are_equal(name, asked):
    assert "--format docker --layers=false --timestamp 1700000000" in " ".join(Engine(name, "1").build_command(asked))


def test_docker_builds_with_buildkit_and_without_attestations_that_hold_a_time(programs, tmp_path, asked):
    programs("docker", f'echo "$DOCKER_BUILDKIT $BUILDX_NO_DEFAULT_ATTESTATIONS" > {tmp_path}/variables')
    Engine("docker", "28.2.2").build(asked)
    assert (tmp_path / "variables").read_text() == "1 1\n"


def test_archive_of_an_earlier_build_is_replaced(programs, tmp_path):
    archive = tmp_path / "image.tar"
    archive.write_text("old")
    # buildah refuses an archive that is there.
    programs("buildah", f'[ ! -e {archive} ] && echo "$4" > {archive}')
    Engine("buildah", "1").save("one:1", archive)
    assert archive.read_text() == f"docker-archive:{archive}:localhost/one:1\n"


@pytest.mark.parametrize(
    ("tag", "names"),
    [
        ("one:1", ["one:1", "localhost/one:1"]),
        ("team/one:1", ["team/one:1", "localhost/team/one:1"]),
        ("registry.example/one:1", ["registry.example/one:1"] * 2),
        ("registry:5000/one:1", ["registry:5000/one:1"] * 2),
        ("localhost/one:1", ["localhost/one:1"] * 2),
    ],
)
def test_name_without_a_registry_is_local(tag, names):
    assert [Engine(name, "1").name_image(tag) for name in ("docker", "podman")] == names


@pytest.mark.parametrize(
    ("name", "words"), [("buildah", "pull docker-archive:/x.tar"), ("podman", "load --input /x.tar")]
)
def test_archive_is_taken_back(programs, tmp_path, name, words):
    programs(name, f'echo "$*" > {tmp_path}/words')
    Engine(name, "1").load(Path("/x.tar"))
    assert (tmp_path / "words").read_text() == f"{words}\n"
