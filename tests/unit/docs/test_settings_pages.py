"""The reference of the settings in the documents is what the programs read; the example files check clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from chassis.output.settings_reference import models_of, write
from exporter.__main__ import main as run_exporter
from exporter.collector import CollectorSettings
from exporter.collectors import discover
from exporter.commands.configuration import settings_type
from remediations.__main__ import main as run_remediator
from remediations.settings import RemediatorSettings
from remediations.shipped import read_policies
from tests.fakes.golden import read_generated
from tools.generate.settings_pages import DOCS, put, references

PROGRAMS = {"exporter": settings_type(discover()), "remediator": RemediatorSettings}
ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \| (.+?) \| (.*) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_page_is_what_the_code_says(name: str) -> None:
    page = DOCS / f"{name}.md"
    text = read_generated(page)
    assert text == put(text, references()[page])


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_setting_of_the_json_schema_has_a_row(name: str) -> None:
    """Pydantic's own schema is the second opinion on which settings exist."""
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    schema = PROGRAMS[name].model_json_schema()
    titles = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    documented = {path.split(".")[-1] for path, *_ in ROW.findall(page)}
    documented |= {part.removesuffix("[]") for title in titles for part in title.split(".")}
    documented |= (
        set(re.findall(r"^\| `collectors\.(\w+)` \|", page, re.MULTILINE)) | CollectorSettings.model_fields.keys()
    )
    parts = [schema, *schema["$defs"].values()]
    wanted = {setting for part in parts for setting in part.get("properties", ())}
    assert wanted - documented == set()


@pytest.mark.parametrize("kind", PROGRAMS.values(), ids=PROGRAMS)
def test_every_setting_says_what_it_means(kind: type[BaseModel]) -> None:
    rows = ROW.findall(write(kind, CollectorSettings))
    assert rows
    assert [path for path, _, _, meaning in rows if not meaning.strip()] == []


def test_a_shared_section_is_described_once_and_linked() -> None:
    text = write(RemediatorSettings)
    assert text.count("### `server.roles.deliver`") == 1
    assert "| `server.roles.approve` | as [`server.roles.deliver`](#serverrolesdeliver) |" in text
    assert len(tuple(models_of(RemediatorSettings))) == len(set(models_of(RemediatorSettings)))


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the settings"):
        put("# page\n", "rows")


def test_both_programs_print_their_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_exporter(["--print-settings"]) == 0
    assert capsys.readouterr().out == references()[DOCS / "exporter.md"]
    with pytest.raises(SystemExit) as ended:
        run_remediator(["--print-settings"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == references()[DOCS / "remediator.md"]


def test_example_of_the_exporter_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    password = tmp_path / "password"
    password.write_text("unused\n", encoding="utf-8")
    text = (DOCS / "examples" / "exporter.yaml").read_text(encoding="utf-8")
    file = tmp_path / "exporter.yaml"
    file.write_text(text.replace("/etc/controlcore-exporter/database-password", str(password)), encoding="utf-8")
    assert run_exporter(["--config.file", str(file), "--config.check"]) == 0, capsys.readouterr().err


def test_example_of_the_remediator_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token, policies = tmp_path / "token", tmp_path / "policies.yaml"
    token.write_text("unused-token-of-a-test\n", encoding="utf-8")
    policies.write_text(read_policies(), encoding="utf-8")
    text = (DOCS / "examples" / "remediator.yaml").read_text(encoding="utf-8")
    assert text in (DOCS / "remediator.md").read_text(encoding="utf-8")
    for place, real in (("token", token), ("policies.yaml", policies)):
        text = text.replace(f"/etc/controlcore-remediator/{place}", str(real))
    text = text.replace("/var/lib/controlcore-remediator", str(tmp_path))
    file = tmp_path / "remediator.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        run_remediator(["check-config", "--config.file", str(file)])
    assert ended.value.code == 0, capsys.readouterr().err
    assert "restart-api" in capsys.readouterr().out
    assert yaml.safe_load(text)["server"]["token_file"] == str(token)
