from __future__ import annotations

import ssl
from urllib.parse import quote

import pytest

from chassis.errors import ConfigError, PermanentError, Reason
from chassis.postgres.address import (
    PLACES,
    SESSION_PARAMETERS,
    TLS_PARAMETERS,
    PostgresAddress,
    PostgresTarget,
    SslMode,
    tls_context,
)
from chassis.postgres.options import ADVICE, NOT_USED, WITHOUT_EFFECT

KNOWN = (*PLACES, *TLS_PARAMETERS, *SESSION_PARAMETERS)
SECRET = "hunter2"
EXPECTED = "database.url: expected postgresql://user:password@host:port/database"


def target_of(url: str) -> PostgresTarget:
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
        ("postgresql://u@/d?host=h&port=x", ["database.url: the port is not a number"]),
        ("postgresql://u@a,b/d", ["database.url: expected one host, found a list"]),
        ("postgresql:///d?sslmode=sure&hots=h", [
            f"database.url: unknown parameter hots; known: {', '.join(KNOWN)}",
            "database.url: names no user",
            "database.url: sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full",
        ]),
    ],
)  # fmt: skip
def test_unusable_url_names_the_setting_and_every_fault(url: str, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresAddress.parse(url)
    assert [str(fault) for fault in caught.value.faults] == faults


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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-csearch_path=prod", (("search_path", "prod"),)),
        ("-c search_path=prod,public --work-mem=4MB", (("search_path", "prod,public"), ("work_mem", "4MB"))),
        (r"-csearch_path=a\ b -cx.y=\\", (("search_path", "a b"), ("x.y", "\\"))),
        ("  ", ()),
    ],
)
def test_options_are_honoured(options: str, expected: tuple[tuple[str, str], ...]) -> None:
    """X16: what psql would do with the same URL."""
    assert target_of(f"postgresql://u@h/d?options={quote(options)}").options == expected


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("options=-B100", "options: '-B100' is not honoured; use -cNAME=VALUE"),
        ("options=-csearch_path", "options: expected -cNAME=VALUE"),
        ("options=-c%27;drop=1", "options: expected -cNAME=VALUE"),
        ("passfile=/x", "parameter passfile is not honoured: put only the password into a file"),
        ("service=prod", "parameter service is not honoured: write host, port, database and user into the URL"),
        ("hostaddr=10.0.0.1", "parameter hostaddr is not honoured: write the address as the host"),
        ("channel_binding=require", "channel_binding=require is not honoured: it is not supported; use sslmode="),
        ("channel_binding=maybe", "channel_binding must be one of prefer, disable, require"),
        ("gssencmode=require", "gssencmode=require is not honoured"),
        ("target_session_attrs=leader", "target_session_attrs must be one of any, primary"),
        ("connect_timeout=soon", "connect_timeout is not a number of seconds"),
        ("sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
        ("sslnegotiation=direct", "sslnegotiation must be postgres, or direct with sslmode=require or stricter"),
        ("ssl_min_protocol_version=1.3", "ssl_min_protocol_version and ssl_max_… must be one of TLSv1"),
        ("sslcrl=/x", "sslcrl needs sslmode=verify-ca or verify-full"),
    ],
)
def test_parameter_that_is_not_honoured_says_what_to_do(query: str, fault: str) -> None:
    """X16: nothing that libpq would honour is ignored in silence."""
    with pytest.raises(ConfigError) as caught:
        PostgresAddress.parse(f"postgresql://u@h/d?{query}")
    (found,) = caught.value.faults
    assert found.message.startswith(fault)


@pytest.mark.parametrize("name", sorted({*KNOWN, *WITHOUT_EFFECT, *NOT_USED, *ADVICE}))
def test_every_parameter_is_honoured_refused_or_told(name: str) -> None:
    """X16: one of the tables knows each parameter, and no two of them do."""
    tables = (KNOWN, WITHOUT_EFFECT, NOT_USED, ADVICE)
    assert [name in table for table in tables].count(True) == 1


def test_what_gives_way_to_ours_is_told() -> None:
    """X16: neither a timeout nor an application name in the product's URL applies to us."""
    target = target_of("postgresql://u@h/d?application_name=api&options=-cstatement_timeout%3D0%20-cwork_mem%3D4MB")
    assert target.options == (("work_mem", "4MB"),)
    assert [text.partition(":")[0] for text in target.not_used] == ["application_name", "options statement_timeout"]


@pytest.mark.parametrize(
    ("url", "is_optional"),
    [
        ("postgresql://u@db.example/d", True),
        ("postgresql://u@db.example/d?sslmode=allow", True),
        ("postgresql://u@db.example/d?sslmode=disable", False),
        ("postgresql://u@db.example/d?sslmode=require", False),
        ("postgresql://u@localhost/d", False),
        ("postgresql://u@127.0.0.2/d", False),
        ("postgresql://u@[::1]/d", False),
        ("postgresql:///d?host=/run/postgresql&user=u", False),
    ],
)
def test_encryption_is_optional_on_the_way_to_another_host(url: str, is_optional: bool) -> None:  # noqa: FBT001
    """L12: `disable` is a decision, `prefer` is only the default."""
    assert target_of(url).is_encryption_optional is is_optional


@pytest.mark.parametrize("password", ["pa#ss", "12#34", "pa/ss", "12/34", "pa?ss", "12?34"])
def test_password_that_is_not_encoded_is_told_to_be(password):
    """X19: the same as for Redis."""
    with pytest.raises(ConfigError) as caught:
        PostgresAddress.parse(f"postgresql://api:{password}@db.example:5432/control_core_db")
    assert "percent-encode" in str(caught.value)
    assert "34" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://db.example/x?user=a@b&password=c@d", "postgresql://a%40b:c@db.example/x"]
)
def test_at_sign_in_a_parameter_or_encoded_is_no_fault(url):
    assert PostgresAddress.parse(url).target().user == "a@b"
