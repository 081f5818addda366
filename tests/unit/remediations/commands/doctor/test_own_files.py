"""Configuration, credentials and roles in files."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from chassis.output.findings import FOUND, Finding
from chassis.output.redaction import remove_secrets
from chassis.process.daemon_threads import use_daemon_threads
from remediations.commands.doctor.checks import run_doctor
from remediations.commands.doctor.installation import opened
from remediations.commands.doctor.own_files import check_configuration, check_credentials, check_roles
from remediations.commands.policy_store import read_policies
from remediations.core.model.alert import Mode
from remediations.settings import RemediatorSettings
from remediations.shipped import read_policies as shipped
from tests.fakes.decisions import a_policy_set, restart_policy
from tests.fakes.installation import a_place, found_by

TOKEN = "a-token-of-the-test-0001"
WAITING = a_policy_set(restart_policy(mode=Mode.APPROVE))


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "a volume" / "token"
    path.parent.mkdir()
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


def settings_with(token: Path, **more: Any) -> RemediatorSettings:
    return RemediatorSettings(
        server={"token_file": token, **more.pop("server", {})},
        journal={"path": token.parent / "journal.db", "is_ephemeral_accepted": True, **more.pop("journal", {})},
        policies_file=token.parent / "policies.yaml",
        **more,
    )


def credentials(settings: RemediatorSettings) -> list[Finding]:
    return asyncio.run(found_by(check_credentials, a_place(settings=settings)))


def test_folder_of_a_journal_on_another_machine_is_no_fault(token: Path) -> None:
    settings = settings_with(token, journal={"path": token.parent / "elsewhere" / "journal.db"})
    settings.policies_file.write_text(shipped())
    found = [
        asyncio.run(found_by(check_configuration, a_place(settings=settings, url=url)))
        for url in ("", "http://remediator:9878")
    ]
    assert [[item.problem for item in each].count("journal.path is wrong") for each in found] == [1, 0]


def test_good_token_has_no_finding(token: Path) -> None:
    assert credentials(settings_with(token)) == []


@pytest.mark.parametrize(
    ("content", "words", "remedy"),
    [(None, "does not exist", "openssl rand"), ("short", "no token", "openssl rand"), ("", "no token", "openssl")],
)  # fmt: skip
def test_token_that_cannot_be_read_is_told(token: Path, content: str | None, words: str, remedy: str) -> None:
    token.unlink() if content is None else token.write_text(content)
    (found,) = credentials(settings_with(token))
    assert (found.severity.value, words in found.problem, remedy in found.remedy) == ("error", True, True)
    assert remove_secrets(found.evidence) == found.evidence


@pytest.mark.parametrize(
    ("mode", "is_told"), [(0o600, False), (0o440, False), (0o644, True), (0o620, True), (0o604, True)]
)
def test_secret_that_others_may_read_or_change_is_told(token: Path, mode: int, is_told: bool) -> None:  # noqa: FBT001
    token.chmod(mode)
    assert [item.remedy for item in credentials(settings_with(token))] == [f"chmod 600 '{token}'"] * is_told


def test_secret_of_another_user_is_given_to_the_program_before_it_is_closed(
    token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode 600 alone would make it unreadable for a program that reads it as "other"."""
    token.chmod(0o644)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    (found,) = credentials(settings_with(token))
    assert found.evidence == f"{token} has mode 0644 and belongs to user {owner}"
    assert found.remedy.startswith(f"chown USER '{token}' && chmod 600 '{token}' ")


def test_secret_of_the_kubelet_has_the_mode_of_its_volume(tmp_path: Path) -> None:
    """A projected volume may have folders below its own."""
    data = tmp_path / "..2026"
    (data / "roles").mkdir(parents=True)
    (data / "roles" / "token").write_text(TOKEN)
    (data / "roles" / "token").chmod(0o644)
    (tmp_path / "..data").symlink_to(data)
    (tmp_path / "roles").symlink_to("..data/roles")
    assert credentials(settings_with(tmp_path / "roles" / "token")) == []


def test_every_secret_that_the_settings_name_is_looked_at(token: Path) -> None:
    names = ("prom", "am", "key", "db")
    for name in names:
        (token.parent / name).write_text(TOKEN)
        (token.parent / name).chmod(0o644)
    place = {name: str(token.parent / name) for name in names}
    found = credentials(
        settings_with(
            token,
            prometheus={"authorization": {"credentials_file": place["prom"]}},
            alertmanager={"basic_auth": {"username": "a", "password_file": place["am"]}},
            http_keys=[{"origin": "http://b:1", "key_file": place["key"]}],
            database={"url": "postgresql://a@b/c", "password_file": place["db"]},
        )
    )
    assert [Path(shlex.split(item.remedy)[-1]).name for item in found] == list(names)


@pytest.mark.parametrize("role", ["operate", "approve"])
@pytest.mark.parametrize("is_copied", [True, False])
def test_token_of_alertmanager_must_not_do_more(token: Path, role: str, is_copied: bool) -> None:  # noqa: FBT001
    other = token.parent / "other"
    other.write_text(TOKEN + "\n")
    other.chmod(0o600)
    roles = {role: {"token_files": [str(other if is_copied else token)]}}
    (found,) = credentials(settings_with(token, server={"roles": roles}))
    assert found.problem == f"the token for delivering alerts may also {role}"
    other.write_text("another-token-of-the-test")
    assert len(credentials(settings_with(token, server={"roles": roles}))) == (not is_copied)


@pytest.mark.parametrize(
    ("roles", "is_told"),
    [
        (None, True),
        ({"operate": {"users": ["ann"]}}, True),
        ({"approve": {"token_files": []}}, True),
        ({"approve": {"users": ["ann"]}}, False),
    ],
)
def test_policies_that_wait_need_somebody_who_may_approve(token: Path, roles: Any, is_told: bool) -> None:  # noqa: FBT001
    settings = settings_with(token, server={"roles": roles})
    found = asyncio.run(found_by(check_roles, a_place(WAITING, settings=settings)))
    assert [item.severity.value for item in found] == ["warning"] * is_told
    assert asyncio.run(found_by(check_roles, a_place(a_policy_set(), settings=settings))) == []


def test_user_without_a_role_is_told(token: Path) -> None:
    web = token.parent / "web.yml"
    hashed = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
    web.write_text(yaml.safe_dump({"basic_auth_users": {"ann": hashed, "kim": hashed}}))
    server = {"web_config_file": web, "roles": {"approve": {"users": ["ann"]}}}
    (found,) = asyncio.run(found_by(check_roles, a_place(settings=settings_with(token, server=server))))
    assert found.evidence == "users kim"


def configuration(settings: RemediatorSettings) -> list[Finding]:
    return asyncio.run(found_by(check_configuration, a_place(settings=settings)))


def test_faults_of_settings_and_policies_are_findings_and_say_what_is_not_checked(token: Path) -> None:
    (token.parent / "policies.yaml").write_text("policies: [{name: A}]\n")
    found = configuration(settings_with(token, journal={"path": token.parent / "none" / "journal.db"}))
    assert [item for item in found if item.remedy == f"mkdir -p '{token.parent}/none'"]
    assert [item for item in found if "policies[0].targets" in item.problem]
    assert [item.evidence.count(": ") for item in found if item.evidence.startswith("the folder ")] == [1]
    assert found[-1].severity.value == "unknown"


def test_token_file_that_is_not_set_is_told_with_both_steps(token: Path) -> None:
    (token.parent / "policies.yaml").write_text(shipped())
    settings = RemediatorSettings(
        journal={"path": token.parent / "journal.db"}, policies_file=token.parent / "policies.yaml"
    )
    (found, _) = configuration(settings)
    assert [line.split(" ")[0] for line in found.remedy.splitlines()] == ["umask", "set"]


def test_faults_of_token_files_are_told_once(token: Path) -> None:
    (token.parent / "policies.yaml").write_text(shipped())
    token.unlink()
    assert [item for item in configuration(settings_with(token)) if item.severity.value == "error"] == []


def test_placeholders_are_one_warning(token: Path) -> None:
    path = token.parent / "policies.yaml"
    path.write_text(shipped())
    place = a_place(read_policies(path), settings=settings_with(token))
    (found,) = asyncio.run(found_by(check_configuration, place))
    assert (found.severity.value, found.evidence.count("placeholder")) == ("warning", 7)


async def test_policy_file_that_hangs_keeps_doctor_no_longer_than_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_daemon_threads()
    monkeypatch.setattr("remediations.commands.doctor.installation.OPEN_SECONDS", 0.01)
    hanging = tmp_path / "policies.yaml"
    os.mkfifo(hanging)
    async with opened(RemediatorSettings(policies_file=hanging), None, is_sending=False) as place:
        assert place.policy_set.policies == ()


def test_content_of_secret_files_is_in_no_evidence(
    token: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    word = token.read_text().strip()
    settings = RemediatorSettings(
        server={"token_file": token},
        database={"url": "postgresql://ann@127.0.0.1:1/product", "password_file": tmp_path / "none"},
        prometheus={"url": f"http://127.0.0.1:1/{word}"},
        policies_file=tmp_path / "none.yaml",
        journal={"path": tmp_path / "journal.db"},
    )
    assert run_doctor(argparse.Namespace(is_sending=False, output="json", url=""), settings) == FOUND
    shown = [item["evidence"] for item in json.loads(capsys.readouterr().out)["findings"]]
    assert any("http://127.0.0.1:1/[removed]" in text for text in shown)
    assert not any(word in text for text in shown)
