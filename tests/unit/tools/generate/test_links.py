"""Links of rules and dashboards: absolute by one setting, with exactly one slash, and the same when written twice."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.fakes.golden import read_generated
from tools.generate.links import FOLDERS, Links, main, read_links

HERE = Links("", "")
FILES = sorted(path for folder in FOLDERS for ending in ("*.yml", "*.json") for path in folder.glob(ending))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_have_the_links_of_the_one_setting(path: Path) -> None:
    """`[tool.controlcore.links]` decides."""
    text = read_generated(path)
    assert text == read_links().write(text)


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_link_is_absolute_with_one_slash(slash: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in FOLDERS:
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("src", "tests"))
    folders = [str(tmp_path / folder.name) for folder in FOLDERS]
    for _ in range(2):
        main(
            ["--runbooks", f"https://wiki.example/cc{slash}", "--grafana", f"https://grafana.example{slash}", *folders]
        )
    first, again = capsys.readouterr().out.splitlines()
    end = "runbooks are https://wiki.example/cc/docs/runbooks, dashboards https://grafana.example/d/UID"
    assert re.fullmatch(rf"[1-9]\d* of \d+ files changed in {folders[0]}, {folders[1]}: {end}", first)
    assert re.fullmatch(rf"0 of \d+ files changed in .*: {end}", again)
    rules = [
        rule
        for path in (tmp_path / "rules").glob("controlcore-*.yml")
        for rule in yaml.safe_load(path.read_text("utf-8"))["groups"][0]["rules"]
        if "alert" in rule
    ]
    assert len(rules) > 80
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example/cc/docs/runbooks/{rule['alert']}.md"
        assert rule["annotations"]["dashboard_url"].startswith("https://grafana.example/d/controlcore-")
    dashboards = [path.read_text("utf-8") for path in (tmp_path / "dashboards").glob("*.json")]
    assert any('"https://wiki.example/cc/docs/runbooks"' in text for text in dashboards)
    assert not any('"docs/runbooks"' in text for text in dashboards)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_else_is_changed(path: Path) -> None:
    relative = HERE.write(path.read_text(encoding="utf-8"))
    there = Links("https://wiki.example", "https://grafana.example").write(relative)
    assert HERE.write(there) == relative
    differ = [new for old, new in zip(relative.splitlines(), there.splitlines(), strict=True) if old != new]
    assert all("https://wiki.example/docs/runbooks" in line or "https://grafana.example/d/" in line for line in differ)


@pytest.mark.parametrize("url", ["wiki.example.com", "https://", "ftp://wiki.example", "https://wiki example"])
def test_what_is_no_address_is_refused(url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--runbooks", url, str(tmp_path)])
    assert "is not an address" in capsys.readouterr().err
