from __future__ import annotations

import pytest
import structlog

from chassis.postgres_address import PostgresAddress
from chassis.start_notices import LIBPQ_VARIABLES, ignored_variables, tell


@pytest.mark.parametrize("name", sorted(LIBPQ_VARIABLES))
def test_each_variable_of_libpq_is_named(name: str) -> None:
    """X4: a variable that works for psql and not here costs somebody an hour."""
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
