"""What the Dockerfile promises, read from its text: no engine is needed."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from exporter.__main__ import healthcheck_parser
from exporter.settings import ServerSettings
from remediations.settings import RemediatorServerSettings
from tools.install.image.__main__ import read_default_base
from tools.install.image.archive import FOLDER

ROOT = Path(__file__).resolve().parents[5]
WRITTEN = (ROOT / "Dockerfile").read_text(encoding="utf-8")
TEXT = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", WRITTEN, flags=re.MULTILINE))
LINES = [line for line in TEXT.splitlines() if line]
STAGES = [part.split("\n") for part in re.split(r"\n(?=FROM )", "\n".join(LINES))[1:]]
LAST = STAGES[-1]
CHANGING = ("ADD", "COPY", "RUN", "WORKDIR")


def argument(stage: list[str], instruction: str) -> str:
    (line,) = (line for line in stage if line.startswith(f"{instruction} "))
    return line.removeprefix(f"{instruction} ")


def health_command() -> list[str]:
    command: list[str] = json.loads(argument(LAST, "HEALTHCHECK").partition(" CMD ")[2])
    return command


def test_both_bases_are_arguments_and_the_second_follows_the_first():
    assert LINES[0] == f"ARG BASE_IMAGE={read_default_base()}"
    assert LINES[1] == "ARG BUILD_IMAGE=${BASE_IMAGE}"
    assert [stage[0] for stage in STAGES] == ["FROM ${BUILD_IMAGE} AS build", "FROM ${BASE_IMAGE}"]
    # A base without a tag or a digest would be another one each month.
    assert re.search(r":[\w.-]+$", read_default_base())


def test_last_stage_runs_nothing_and_adds_one_layer():
    changing = [line for line in LAST if line.startswith(CHANGING)]
    assert changing == ["COPY --from=build /image/ /"]
    assert f"mv /opt/controlcore /image/{FOLDER.partition('/')[0]}/" in TEXT


def test_user_is_a_number_that_is_not_root():
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", argument(LAST, "USER"))


def test_health_check_needs_no_shell_and_asks_both_programs_where_they_listen():
    program, name, *options = health_command()
    assert (program, name) == ("controlcore-exporter", "healthcheck")
    asked = healthcheck_parser().parse_args(options)
    ports = [section.model_fields["port"].default for section in (ServerSettings, RemediatorServerSettings)]
    assert asked.url == [f"http://127.0.0.1:{port}" for port in ports]
    assert sorted(argument(LAST, "EXPOSE").split()) == sorted(map(str, ports))


def test_health_check_has_ended_before_the_engine_ends_it():
    options = dict(re.findall(r"--([\w-]+)=(\d+)s", argument(LAST, "HEALTHCHECK")))
    asked = healthcheck_parser().parse_args(health_command()[2:])
    # A frozen program answers neither without TLS nor with it.
    assert 2 * asked.timeout < int(options["timeout"])


def test_labels_say_what_the_project_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = dict(word.split("=", 1) for word in shlex.split(argument(LAST, "LABEL")))
    assert labels["org.opencontainers.image.title"] == project["name"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.description"]


@pytest.mark.parametrize("instruction", ["CMD", "HEALTHCHECK"])
def test_command_is_in_exec_form(instruction):
    command = argument(LAST, instruction)
    assert json.loads(command if instruction == "CMD" else command.partition(" CMD ")[2])


def test_every_copied_file_is_in_the_context_and_nothing_else_is():
    copied = [word for line in STAGES[0] if line.startswith("COPY ") for word in line.split()[1:-1]]
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sorted(copied) == sorted(line.removeprefix("!") for line in ignore if line.startswith("!"))
    assert ignore[1] == "*"
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_installs_are_from_the_locks_or_from_the_wheel_that_was_built_here():
    steps = [step for line in STAGES[0] if line.startswith("RUN ") for step in line.split(" && ") if "install" in step]
    assert len(steps) == 3
    for step in steps:
        assert "--no-deps" in step
        assert ("--require-hashes" in step) != ("--no-index" in step)


def test_what_goes_into_the_image_has_no_time_of_its_own():
    into_the_image = [step for step in TEXT.split(" && ") if "/opt/controlcore/bin/python install" in step]
    assert len(into_the_image) == 2
    # pip's own bytecode holds the time of its source.
    assert all("--no-compile" in step for step in into_the_image)
    # Forced: `pip check` runs in the same Python, and leaves bytecode of its own.
    assert "compileall -q -f --invalidation-mode unchecked-hash" in TEXT
    assert STAGES[0][-1].endswith('--date="@${SOURCE_DATE_EPOCH}" {} +')


def test_settings_and_certificates_of_pip_are_secrets():
    assert "--mount=type=secret,id=pip,target=/etc/pip.conf" in TEXT
    assert not re.search(r"^(ARG|ENV).*(INDEX|CERT|PROXY|TOKEN|PASSWORD)", TEXT, re.MULTILINE)
