"""The cause of a failed connection, and its remedy. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chassis.errors import BackendError, Reason
from chassis.output.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """A source's name and address, for its findings."""

    check: str
    what: str
    """What the sentence calls it."""
    setting: str
    """The setting that names the address."""
    host: str
    port: int
    login: str = "give it credentials that are accepted"
    """The remedy for refused credentials."""
    authorities: str = "set SSL_CERT_FILE=/PATH/ca.pem in the exporter's environment, with the CA that signed it"
    """The setting that makes the exporter trust the server's certificate."""
    missing: str = ""
    """The remedy for a wrong name of a database; empty for a source with only a URL."""
    starttls: str = ""
    """The option of `openssl s_client` for a server that speaks its own protocol first."""


CONNECT = "timeout 3 bash -c '</dev/tcp/{host}/{port}'"
"""Tests the port with tools that every image has; nc and telnet are often missing."""
BY_REASON: dict[Reason, tuple[str, str]] = {
    Reason.DNS: ("its name does not resolve", "set {setting} to a name that resolves here: getent hosts {host}"),
    Reason.REFUSED: (
        "nothing listens there",
        f"start {{what}}, or set {{setting}} to its host and port: {CONNECT}",
    ),
    Reason.TIMEOUT: (
        "no answer in time",
        (
            f"{CONNECT} && echo connected   # connected: {{what}} is frozen or overloaded; see its process and disk\n"
            "if it does not connect: let this host reach {place} (firewall, NetworkPolicy)"
        ),
    ),
    Reason.UNREACHABLE: ("it cannot be reached", f"let this host reach {{place}} (route, firewall): {CONNECT}"),
    Reason.CLOSED: ("it closes the connection", "set {setting} to the port of {what}, with the scheme that it speaks"),
    Reason.PROTOCOL: ("what answers is something else", "set {setting} to the host and port of {what}"),
    Reason.MALFORMED: ("what answers is something else", "set {setting} to the host and port of {what}"),
    Reason.AUTH: ("it refuses the credentials", "{login}"),
    Reason.PERMISSION: ("it refuses this access", "{login}"),
    Reason.EXHAUSTED: ("it has no free connection", "raise its connection limit, or end idle connections"),
    Reason.QUOTA: ("the account's own limit is used up", "raise the account's limit: ALTER ROLE … CONNECTION LIMIT 5"),
    Reason.STARTING: ("it is starting", "wait until it has started, then run doctor again"),
    Reason.OVERLOADED: ("it refuses for now", "wait, or raise its limit of requests, then run doctor again"),
    Reason.MISSING: ("it does not have what was requested", "{missing}"),
    Reason.HTTP_3XX: ("it redirects", "set {setting} to the address to which it redirects"),
    Reason.HTTP_4XX: ("what answers is something else", "set {setting} to the base URL of {what}"),
    Reason.HTTP_5XX: ("it answers with an error", "check the log of {what}: it is reachable but not healthy"),
}
OTHERWISE = ("it cannot be used", "fix what the evidence names, or set {setting}")

SHOW = "openssl s_client -connect {place}{starttls} </dev/null | openssl x509 -noout"
CLEAR = (
    "without TLS the password crosses the network in clear text: do without TLS only on one host or a trusted network"
)
BY_CERTIFICATE: tuple[tuple[str, str, str], ...] = (
    (
        "certificate has expired",
        "its certificate has expired",
        f"renew the certificate of {{what}}: {SHOW} -enddate",
    ),
    (
        "not yet valid",
        "its certificate is not valid yet",
        f"compare the clocks (timedatectl), then: {SHOW} -dates",
    ),
    (
        "mismatch",
        "its certificate is for another name",
        f"set {{setting}} to a name in the certificate: {SHOW} -ext subjectAltName",
    ),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted", "{authorities}"),
    (
        "WRONG_VERSION_NUMBER",
        "it speaks no TLS on this port",
        f"set {{setting}} to the port where it speaks TLS\n{CLEAR}",
    ),
    ("rejected SSL upgrade", "it has no TLS", f"turn TLS on at {{what}}: ssl = on in postgresql.conf\n{CLEAR}"),
    ("cannot load", "the certificate files cannot be loaded", "correct the paths of the certificates in {setting}"),
)
"""Texts of OpenSSL and asyncpg with cause and remedy; the first match counts."""
NO_ENTRY = "no pg_hba.conf entry"
OWN_FILE = re.compile(r"[\w.]+_file: ")
"""How messages of chassis.config.read_secret begin: with the setting of the unusable file."""


def explain(address: SourceAddress, error: BackendError) -> Finding:
    """The finding about a source that could not be used."""
    problem, remedy = _meaning(error)
    host = f"[{address.host}]" if ":" in address.host else address.host
    values = {
        "what": address.what,
        "setting": address.setting,
        "host": address.host,
        "port": address.port,
        "place": f"{host}:{address.port}",
        "login": address.login,
        "authorities": address.authorities,
        "missing": address.missing or f"set {address.setting} to the base URL of {address.what}",
        "starttls": f" {address.starttls}" if address.starttls else "",
    }
    evidence = f"{address.setting} → {values['place']}: {error}"
    return Finding(
        Severity.ERROR,
        address.check,
        f"{address.what} cannot be used: {problem}",
        evidence,
        remedy.format(**values),
    )


def _meaning(error: BackendError) -> tuple[str, str]:
    """Problem and remedy; for a certificate's fault and a missing line of pg_hba.conf they follow from the message."""
    message = str(error)
    if NO_ENTRY in message:
        return "its pg_hba.conf does not admit this account from here", (
            "add to pg_hba.conf: host DATABASE ROLE THIS-ADDRESS/32 scram-sha-256, then run SELECT pg_reload_conf()"
        )
    if error.reason is Reason.AUTH and OWN_FILE.match(message):
        return "the file with our own credential cannot be used", "{login}"
    if error.reason is Reason.TLS:
        for words, problem, remedy in BY_CERTIFICATE:
            if words in message:
                return problem, remedy
    return BY_REASON.get(error.reason, OTHERWISE)
