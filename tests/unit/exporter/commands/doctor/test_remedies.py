"""The cause and remedy of each failed connection."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from chassis.output.findings import Severity
from chassis.postgres.address import PostgresAddress
from exporter.commands.doctor.remedies import BY_REASON, SourceAddress, explain

ADDRESS = SourceAddress("api.address", "the API", "api.url", "api.example", 8000, login="give it a password")


@pytest.mark.parametrize(
    ("message", "problem", "remedy"),
    [
        ("certificate verify failed: certificate has expired", "has expired", "openssl x509 -noout -enddate"),
        ("certificate verify failed: certificate is not yet valid", "is not valid yet", "timedatectl"),
        ("Hostname mismatch, certificate is not valid for 'a'", "for another name", "set api.url to a name in"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "is not trusted", "set SSL_CERT_FILE="),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number",
            "speaks no TLS",
            "set api.url to the port where it speaks TLS",
        ),
        ("rejected SSL upgrade", "it has no TLS", "ssl = on in postgresql.conf"),
        ("something new", "it cannot be used", "or set api.url"),
    ],
)
def test_tls_fault_is_told_by_the_words_of_the_library(message: str, problem: str, remedy: str) -> None:
    finding = explain(ADDRESS, PermanentError(Reason.TLS, message))
    assert problem in finding.problem
    assert remedy in finding.remedy


@pytest.mark.parametrize("reason", [*BY_REASON, Reason.INTERNAL])
def test_every_reason_has_a_whole_remedy(reason: Reason) -> None:
    finding = explain(ADDRESS, PermanentError(reason, "said so"))
    assert finding.severity is Severity.ERROR
    assert finding.evidence == "api.url → api.example:8000: said so"
    assert "{" not in finding.problem + finding.remedy


def test_encryption_is_not_given_up_without_a_warning() -> None:
    for message in ("rejected SSL upgrade", "[SSL: WRONG_VERSION_NUMBER] wrong version number"):
        remedy = explain(ADDRESS, PermanentError(Reason.TLS, message)).remedy
        assert "in clear" in remedy
        assert not {"sslmode", "http://"} & set(remedy.split())


def test_refused_host_is_told_from_a_refused_password() -> None:
    refused = explain(ADDRESS, PermanentError(Reason.AUTH, 'no pg_hba.conf entry for host "10.0.0.1"'))
    assert "pg_hba.conf" in refused.remedy
    assert explain(ADDRESS, PermanentError(Reason.AUTH, "no")).remedy == "give it a password"


def test_own_password_file_is_not_told_as_a_refusal_of_the_server() -> None:
    message = "database.password_file: cannot read /run/secrets/password"
    unread = explain(ADDRESS, PermanentError(Reason.AUTH, message))
    assert unread.problem == "the API cannot be used: the file with our own credential cannot be used"


def test_ipv6_address_is_written_with_brackets() -> None:
    address = SourceAddress("api.address", "the API", "api.url", "::1", 8000)
    finding = explain(address, PermanentError(Reason.REFUSED, "no"))
    assert finding.evidence == "api.url → [::1]:8000: no"
    assert finding.remedy.endswith("'</dev/tcp/::1/8000'")


def test_printed_test_of_a_port_connects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = SourceAddress("api.address", "the API", "api.url", "127.0.0.1", server.getsockname()[1])
        line, other = explain(address, TransientError(Reason.TIMEOUT, "no answer")).remedy.splitlines()
        answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert answer.stdout == "connected\n"
    assert other.startswith("if it does not connect")


def test_certificate_of_postgres_is_shown_by_its_own_protocol() -> None:
    """Without it openssl waits for TLS, and PostgreSQL closes the connection."""
    expired = PermanentError(Reason.TLS, "certificate has expired")
    database = explain(replace(ADDRESS, starttls="-starttls postgres"), expired)
    assert "-connect api.example:8000 -starttls postgres </dev/null" in database.remedy
    assert "-connect api.example:8000 </dev/null" in explain(ADDRESS, expired).remedy


def test_name_that_no_database_has_is_told_with_the_list_of_those_that_are_there() -> None:
    """A base URL has no such list."""
    target = PostgresAddress.parse("postgresql://ann@db:5433/produkt").target()
    gone = PermanentError(Reason.MISSING, 'database "produkt" does not exist (SQLSTATE 3D000)')
    store = replace(ADDRESS, missing=f"set database.url: {target.list_databases}")
    assert explain(store, gone).remedy == "set database.url: psql -h db -p 5433 -U ann -d postgres -l"
    assert explain(ADDRESS, gone).remedy == "set api.url to the base URL of the API"
