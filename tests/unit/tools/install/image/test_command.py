"""`make image`: what it asks of the engine, and what it says when it cannot."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest

from tools.install.image import pip_secrets
from tools.install.image.__main__ import build_parser, main, make_request, read_default_base
from tools.install.image.engines import Engine
from tools.install.image.source import Source

SOURCE = Source("1.2.3", "f00d", 1700000000)


@pytest.fixture
def ask(monkeypatch):
    """What these options ask of an engine, on a machine whose pip has one setting."""
    monkeypatch.setattr(pip_secrets, "_list_settings", lambda: "global.timeout='15'\n")
    with ExitStack() as stack:
        yield lambda *words, source=SOURCE: make_request(build_parser().parse_args(words), source, stack)


def test_image_has_the_commit_and_its_time(ask):
    request = ask()
    assert (request.epoch, request.tags) == (1700000000, ("controlcore-sidecar:1.2.3", "controlcore-sidecar:latest"))
    assert request.labels == {
        "org.opencontainers.image.version": "1.2.3",
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.revision": "f00d",
        "org.opencontainers.image.base.name": read_default_base(),
    }
    assert request.arguments == {}
    assert request.secrets["pip"].is_file()


def test_unknown_commit_is_no_label(ask):
    assert "org.opencontainers.image.revision" not in ask(source=replace(SOURCE, revision="")).labels


def test_options_win(ask, tmp_path):
    request = ask(
        *("--base-image", "base:1", "--build-image", "build:1", "--tag", "mine:1", "--source", "https://git.test/x"),
        *("--pip-config", str(tmp_path / "pip.conf"), "--platform", "linux/arm64", "--option=--network=host"),
    )
    assert request.arguments == {"BASE_IMAGE": "base:1", "BUILD_IMAGE": "build:1"}
    assert request.labels["org.opencontainers.image.base.name"] == "base:1"
    assert request.labels["org.opencontainers.image.source"] == "https://git.test/x"
    assert request.secrets == {"pip": tmp_path / "pip.conf"}
    command = Engine("buildah", "1").build_command(request)
    assert {"mine:1", "linux/arm64", "--network=host"} < set(command)
    assert "controlcore-sidecar:latest" not in command


def test_machine_without_an_engine_is_told_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert main([]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(
        "tools.install.image: no program that builds images works here:\n  docker: not installed\n"
    )
