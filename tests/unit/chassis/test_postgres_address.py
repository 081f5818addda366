from __future__ import annotations

import dataclasses
import ssl
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from chassis.errors import ConfigError, PermanentError, Reason
from chassis.postgres_address import (
    PLACES,
    TLS_PARAMETERS,
    PostgresAddress,
    SslMode,
    Target,
    tls_context,
)

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"
EXPECTED = "database.url: expected postgresql://user:password@host:port/database"


def target_of(url: str) -> Target:
    return PostgresAddress.parse(url).target()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p@h:6000/d", ("u", "d", "p", "h", 6000)),
        ("postgres://u@h/d", ("u", "d", "", "h", 5432)),
        ("postgresql+psycopg2://u:p@h/d", ("u", "d", "p", "h", 5432)),
        ("postgresql+asyncpg://u:p@h/d?ssl=disable", ("u", "d", "p", "h", 5432)),
        ("postgresql://u:p%40%2F%3A@h/d%20e", ("u", "d e", "p@/:", "h", 5432)),
        ("postgresql://u@[::1]:6000/d", ("u", "d", "", "::1", 6000)),
        ("postgresql://u@h", ("u", "u", "", "h", 5432)),
        ("postgresql:///d?host=/run/postgresql&user=u&port=6000", ("u", "d", "", "/run/postgresql", 6000)),
        ("postgresql://u@%2Frun%2FPostgreSQL/d", ("u", "d", "", "/run/PostgreSQL", 5432)),
        ("postgresql://u:p@h:5432/d?user=x&password=y&port=1&dbname=z", ("u", "d", "p", "h", 5432)),
        ("postgresql://h/d?user=x&password=y&connect_timeout=3", ("x", "d", "y", "h", 5432)),
    ],
)
def test_url_is_taken_apart(url: str, place: tuple[str, str, str, str, int]) -> None:
    target = target_of(url)
    password = target.password.get_secret_value()
    assert (target.user, target.database, password, target.host, target.port) == place


@pytest.mark.parametrize(
    ("query", "mode", "root"),
    [
        ("", SslMode.PREFER, None),
        ("?sslmode=disable", SslMode.DISABLE, None),
        ("?ssl=require", SslMode.REQUIRE, None),
        ("?sslmode=verify-full&sslrootcert=/etc/ca.pem", SslMode.VERIFY_FULL, "/etc/ca.pem"),
    ],
)
def test_tls_parameters_are_named_as_by_libpq(query: str, mode: SslMode, root: str | None) -> None:
    target = target_of(f"postgresql://u@h/d{query}")
    assert (target.ssl_mode, target.ssl_root_cert) == (mode, root)


@pytest.mark.parametrize(
    ("url", "faults"),
    [
        ("", [EXPECTED]),
        ("mysql://u@h/d", [EXPECTED]),
        ("host=h user=u", [EXPECTED]),
        ("postgresql://h/d", ["database.url: names no user"]),
        ("postgresql://u@h:port/d", ["database.url: not a URL: the host or the port cannot be read"]),
        ("postgresql://u@[::1/d", ["database.url: not a URL: the host or the port cannot be read"]),
        ("postgresql://u@/d?host=h&port=x", ["database.url: the port is no number"]),
        ("postgresql://u@a,b/d", ["database.url: expected one host, found a list"]),
        ("postgresql:///d?sslmode=sure&hots=h", [
            f"database.url: unknown parameter hots; known: {', '.join((*PLACES, *TLS_PARAMETERS))}",
            "database.url: names no user",
            "database.url: sslmode is none of disable, allow, prefer, require, verify-ca, verify-full",
        ]),
    ],
)  # fmt: skip
def test_unusable_url_names_the_setting_and_every_fault(url: str, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresAddress.parse(url)
    assert [str(fault) for fault in caught.value.faults] == faults


@pytest.mark.parametrize(
    "url", [f"mysql://u:{SECRET}@h/d", f"postgresql://u:{SECRET}@h:x/d", f"postgresql://u:{SECRET}@h/d?sslmode=x"]
)
def test_fault_never_repeats_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresAddress(SecretStr(url), setting="other.url")
    assert SECRET not in str(caught.value)
    assert caught.value.faults[0].path == "other.url"


def test_rendered_address_hides_the_password() -> None:
    address = PostgresAddress.parse(f"postgresql://u:{SECRET}@h/d")
    values = [getattr(address, field.name) for field in dataclasses.fields(address)]
    assert SECRET not in f"{address!r} {address} {address.target()!r} {values}"


def test_password_file_wins_and_is_read_every_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    address = PostgresAddress.parse("postgresql://u:old@h/d", password_file=path)
    for password in ("one", "two"):
        path.write_text(f"{password}\n", encoding="utf-8")
        assert address.read_password(address.target()) == password


def test_unreadable_password_file_is_an_auth_failure_that_names_the_setting(tmp_path: Path) -> None:
    """A file that is missing for a moment, while it is rotated, must not end the program."""
    address = PostgresAddress.parse("postgresql://u@h/d", password_file=tmp_path / "none")
    with pytest.raises(PermanentError, match=r"database\.password_file") as caught:
        address.read_password(address.target())
    assert caught.value.reason is Reason.AUTH


@pytest.mark.parametrize(
    ("mode", "verifies", "checks_name"),
    [
        ("require", ssl.CERT_NONE, False),
        ("verify-ca", ssl.CERT_REQUIRED, False),
        ("verify-full", ssl.CERT_REQUIRED, True),
    ],
)
def test_tls_context_verifies_what_the_mode_says(mode: str, verifies: ssl.VerifyMode, checks_name: bool) -> None:  # noqa: FBT001
    context = tls_context(target_of(f"postgresql://u@h/d?sslmode={mode}"))
    assert (context.verify_mode, context.check_hostname) == (verifies, checks_name)


def test_missing_authority_is_a_tls_failure() -> None:
    with pytest.raises(PermanentError) as caught:
        tls_context(target_of("postgresql://u@h/d?sslmode=require&sslrootcert=/none.pem"))
    assert caught.value.reason is Reason.TLS
