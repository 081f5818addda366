from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from chassis.config import Section
from chassis.postgres.address import PostgresAddress
from chassis.process.start_notices import LIBPQ_VARIABLES, files_open_to_others, ignored_variables, tell, tell_readable


@pytest.mark.parametrize("name", sorted(LIBPQ_VARIABLES))
def test_each_variable_of_libpq_is_named(name: str) -> None:
    """X4: a variable that works for psql but not here costs an hour of debugging."""
    assert ignored_variables({name: "x", "PATH": "y"}, has_database=True) == (name,)
    assert ignored_variables({name: "x"}, has_database=False) == ()
    assert ignored_variables({name: ""}, has_database=True) == ()


def test_proxies_are_named_in_both_spellings() -> None:
    """X4: tokens never travel through a proxy that the environment names."""
    assert ignored_variables({"https_proxy": "x", "HTTP_PROXY": "y"}, has_database=False) == (
        "HTTP_PROXY",
        "https_proxy",
    )


@pytest.mark.parametrize(
    ("url", "events"),
    [
        ("postgresql://u@db.example/d", ["database.encryption_optional"]),
        ("postgresql://u@db.example/d?sslmode=verify-full", []),
        ("postgresql://u@localhost/d?application_name=api", ["database.parameters_not_used"]),
    ],
)
def test_start_tells_what_a_database_url_leaves_open(url: str, events: list[str]) -> None:
    """L12, X16: once for each start, and without the URL, which may hold a password."""
    with structlog.testing.capture_logs() as lines:
        tell({}, PostgresAddress.parse(url.replace("u@", "u:hunter2@")))
    assert [line["event"] for line in lines] == events
    assert "hunter2" not in str(lines)


def test_nothing_to_tell_is_silence() -> None:
    with structlog.testing.capture_logs() as lines:
        tell({"PGHOST": "x"}, None)
    assert lines == []


class Holders(Section):
    """Settings with a list of files."""

    token_files: tuple[Path, ...] = ()


class Everything(Section):
    """Settings with each kind of credential file, and with another file."""

    token_file: Path
    more_token_files: tuple[Path, ...]
    key_files: dict[str, Path]
    kubeconfig: Path | None
    roles: dict[str, Holders]
    policies_file: Path


@pytest.mark.parametrize(
    ("mode", "is_told"), [(0o644, True), (0o604, True), (0o602, True), (0o640, False), (0o600, False)]
)
def test_credential_that_others_may_use_is_told_once_with_its_setting(
    tmp_path: Path, mode: int, is_told: object
) -> None:
    """L5: a token file of mode 0644 is read by every user of the host."""
    names = ("token", "second", "key", "kubeconfig", "more", "role", "policies")
    for name in names:
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    files = {name: tmp_path / name for name in names}
    settings = Everything(
        token_file=files["token"],
        more_token_files=(files["second"], tmp_path / "missing"),
        key_files={"b1": files["key"]},
        kubeconfig=Path(f"{files['kubeconfig']}:{files['more']}"),
        roles={"approve": Holders(token_files=(files["role"],))},
        policies_file=files["policies"],
    )
    told = [
        ("token_file", files["token"]),
        ("more_token_files.0", files["second"]),
        ("key_files.b1", files["key"]),
        ("kubeconfig", files["kubeconfig"]),
        ("kubeconfig", files["more"]),
        ("roles.approve.token_files.0", files["role"]),
    ]

    with structlog.testing.capture_logs() as lines:
        asyncio.run(tell_readable(settings))

    assert files_open_to_others(settings) == (told if is_told else [])
    assert [line["event"] for line in lines] == (["credentials.readable_by_others"] if is_told else [])


def test_file_of_a_kubernetes_volume_is_left_out(tmp_path: Path) -> None:
    """L5: the kubelet writes ..TIME/token, links ..data to that folder and token to ..data/token."""
    folder = tmp_path / "..2026_01_02_03_04_05.123"
    folder.mkdir()
    (folder / "token").write_text("x")
    (folder / "token").chmod(0o644)
    (tmp_path / "..data").symlink_to(folder.name)
    (tmp_path / "token").symlink_to("..data/token")

    assert files_open_to_others(Holders(token_files=(tmp_path / "token",))) == []
