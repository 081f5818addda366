"""The trial of the image: its base, its container, and what it compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.install.image import trial
from tools.install.image.container import UID, Container
from tools.install.image.trial_bases import is_left_out

ROOT = Path(__file__).resolve().parents[5]


def test_trial_is_told_what_it_lacks(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None if name == "runc" else name)
    assert trial.find_obstacle() == "missing: runc (Debian: apt-get install --no-install-recommends runc)"
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert trial.find_obstacle().startswith("root alone ")


@pytest.mark.parametrize(
    ("name", "is_out"),
    [
        ("usr/bin/dash", True),
        ("bin/sh", True),
        ("usr/bin/apt-get", True),
        ("usr/lib/apt/methods/http", True),
        ("usr/bin/python3.11", False),
        ("usr/lib/python3.11/os.py", False),
        ("usr/lib/x86_64-linux-gnu/libc.so.6", False),
        ("var/lib/dpkg/status", False),
    ],
)
def test_bare_base_has_python_and_no_other_program(name, is_out):
    assert is_left_out(name) == is_out


def test_trial_runs_under_the_rules_of_a_hardened_pod(tmp_path):
    folders = {"/config": tmp_path / "a", "/journal": tmp_path / "b"}
    container = Container(tmp_path, tmp_path / "home", ["x"], ["PATH=/bin"], folders, writable="/journal")
    specification = container.specification()
    process, root, mounts = specification["process"], specification["root"], specification["mounts"]
    assert process["user"]["uid"] == UID
    assert set(map(tuple, process["capabilities"].values())) == {()}
    assert process["noNewPrivileges"]
    assert root["readonly"]
    rights = {mount["destination"]: mount["options"][1] for mount in mounts if mount["type"] == "bind"}
    assert rights == {"/config": "ro", "/journal": "rw"}


def test_component_is_found_by_kind_name_and_version(tmp_path):
    path = tmp_path / "x.cdx.json"
    path.write_text(
        '{"components": [{"name": "controlcore_sidecar", "version": "1", "purl": "pkg:pypi/controlcore-sidecar@1"},'
        ' {"name": "libc6", "version": "2", "purl": "pkg:deb/debian/libc6@2?arch=amd64"},'
        ' {"name": "/etc/x", "type": "file"}]}'
    )
    assert trial.read_components(path) == {("pypi", "controlcore-sidecar", "1"), ("deb", "libc6", "2")}


def test_readme_names_the_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make image TRIAL=1" in readme
    assert "-m $(if $(TRIAL),tools.install.image.trial,tools.install.image) " in makefile
