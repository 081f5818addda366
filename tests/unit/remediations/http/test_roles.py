"""S6: the setting `server.roles`: what it means, and what is refused before anything is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest

from chassis.config import load
from chassis.errors import ConfigError
from remediations.commands.check_config import check_everything, users_without_role
from remediations.http.roles import Roles
from remediations.settings import HoldersSettings, RemediatorSettings, Role, RolesSettings
from remediations.shipped import read_policies

EVERYTHING = {Role.APPROVE, Role.OPERATE, Role.READ}


def settings_in(folder: Path, server: str) -> RemediatorSettings:
    """Settings with a web configuration that knows one user, ann, and no certificates."""
    hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(f"basic_auth_users: {{ann: '{hashed}', kim: '{hashed}'}}")
    (folder / "token").write_text("a-token-of-the-test-0001")
    (folder / "policies.yaml").write_text(read_policies())
    lines = f"server: {{web_config_file: {folder}/web.yml, {server}}}\npolicies_file: {folder}/policies.yaml\n"
    (folder / "config.yaml").write_text(lines)
    return load(RemediatorSettings, folder / "config.yaml")


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        ("roles: {approve: {users: [ann]}}", "server.roles.deliver: names no credential"),
        ("token_file: {folder}/token, roles: {read: {users: [bob]}}", "server.roles.read.users: bob is not a user"),
        ("token_file: {folder}/token, roles: {read: {certificates: [a.example]}}", "server.roles.read.certificates: "),
        ("token_file: {folder}/token, roles: {admin: {}}", "server.roles.admin: "),
        (
            "roles: {deliver: {token_files: [{folder}/none]}}",
            "server.token_file: the file {folder}/none does not exist; create it: umask 077 && openssl rand -hex 32 > ",
        ),
    ],
)
def test_roles_that_cannot_work_are_refused_with_their_place(tmp_path: Path, server: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_everything(settings_in(tmp_path, server.replace("{folder}", str(tmp_path))), is_serving=True)

    faults = [str(fault) for fault in refused.value.faults]
    assert any(fault.startswith(complaint.replace("{folder}", str(tmp_path))) for fault in faults), faults


def test_users_that_no_role_names_are_told(tmp_path: Path) -> None:
    server = f"token_file: {tmp_path}/token, roles: {{approve: {{users: [ann]}}}}"

    assert users_without_role(settings_in(tmp_path, server)) == ("kim",)
    assert users_without_role(settings_in(tmp_path, f"token_file: {tmp_path}/token")) == ()


def test_approve_includes_operate_and_read_and_deliver_stands_alone() -> None:
    first, both = Path("/first"), Path("/both")
    held: dict[str, Any] = {role.value: HoldersSettings(users=(role.value,)) for role in Role}
    held["approve"] = HoldersSettings(users=("approve",), token_files=(both,), certificates=("a.example",))
    roles = Roles(RolesSettings(**held), (first, both))

    assert roles.of_user("approve") == EVERYTHING
    assert roles.of_user("operate") == {Role.OPERATE, Role.READ}
    assert roles.of_user("read") == {Role.READ}
    assert roles.of_user("deliver") == {Role.DELIVER}
    assert roles.of_user("nobody") == set()
    assert roles.of_tokens((first,)) == {Role.DELIVER}
    assert roles.of_tokens((both,)) == EVERYTHING | {Role.DELIVER}
    assert roles.of_tokens((Path("/other"),)) == set()
    assert roles.of_certificate({"b.example", "a.example"}) == EVERYTHING
    assert roles.of_certificate({"b.example"}) == set()


def test_without_the_setting_every_credential_delivers_and_reads() -> None:
    roles = Roles(None)

    for found in (roles.of_user("ann"), roles.of_tokens((Path("/t"),)), roles.of_certificate({"a.example"})):
        assert found == {Role.DELIVER, Role.READ}
