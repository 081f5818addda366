"""The parameters of a PostgreSQL URL: each is honoured, or refused with an alternative."""

from __future__ import annotations

import re

from chassis.errors import Fault

WITHOUT_EFFECT = frozenset({
    "client_encoding", "load_balance_hosts", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
    "tcp_user_timeout", "sslcompression", "sslsni", "async_fallback", "timeout", "command_timeout", "prepare_threshold",
    "prepared_statement_cache_size", "statement_cache_size",
})  # fmt: skip
"""Parameters of the product's own drivers without effect here: one host, our own deadlines, no prepared statements, and
UTF-8 text.
"""
NOT_USED = {
    "application_name": "our sessions have their own name, to distinguish them from the product's",
    "fallback_application_name": "our sessions have their own name, to distinguish them from the product's",
}
"""Parameters of the URL, and names in `options`, that ours override; those that are set are logged at the start."""
NOT_USED_OPTIONS = dict.fromkeys(
    ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "default_transaction_read_only"),
    "our sessions are read-only and have their own timeouts",
) | {"application_name": NOT_USED["application_name"]}
ADVICE = {
    "hostaddr": "write the address as the host",
    "passfile": "put only the password into a file, and name it in the setting password_file",
    "service": "write host, port, database and user into the URL",
    "servicefile": "write host, port, database and user into the URL",
    "requirepeer": "it is not supported; use a host and sslmode=verify-full",
    "require_auth": "it is not supported; remove it",
    "sslcertmode": "it is not supported; omit sslcert to send no certificate",
    "sslcrldir": "write the revocation lists into one file and name it in sslcrl",
    "sslkeylogfile": "it is not supported; remove it",
    "krbsrvname": "Kerberos is not supported; use a password or a client certificate",
    "gsslib": "Kerberos is not supported; use a password or a client certificate",
    "gssdelegation": "Kerberos is not supported; use a password or a client certificate",
    "replication": "it makes a connection that cannot run queries; remove it",
    "server_settings": "write options=-cNAME=VALUE instead",
    "min_protocol_version": "it is not supported; remove it",
    "max_protocol_version": "it is not supported; remove it",
}
"""Parameters of libpq (PostgreSQL documentation, 34.1.2) that are refused, and what to do."""
REFUSED_VALUES = {
    ("channel_binding", "require"): "it is not supported; use sslmode=verify-full, which verifies the server too",
    ("gssencmode", "require"): "encryption by Kerberos is not supported; use sslmode=verify-full",
}
HARMLESS_VALUES = {"channel_binding": ("prefer", "disable"), "gssencmode": ("prefer", "disable")}
SESSION_ATTRIBUTES = {
    "any": "any", "primary": "primary", "standby": "standby", "prefer-standby": "prefer-standby",
    "read-write": "primary", "read-only": "standby",
}  # fmt: skip
"""libpq's target_session_attrs; our own sessions are always read-only, so read-only and read-write refer to the
server.
"""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
WORD = re.compile(r"(?:\\.|[^\\\s])+", re.DOTALL)
ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def refusals(parameters: dict[str, str], setting: str) -> list[Fault]:
    """A fault for each known parameter or value that is not supported."""
    faults = [
        Fault(setting, f"parameter {name} is not honoured: {ADVICE[name]}")
        for name in sorted(parameters.keys() & ADVICE)
    ]
    for (name, value), advice in REFUSED_VALUES.items():
        if parameters.get(name) == value:
            faults.append(Fault(setting, f"{name}={value} is not honoured: {advice}"))
    for name, values in HARMLESS_VALUES.items():
        if name in parameters and parameters[name] not in {*values, "require"}:
            faults.append(Fault(setting, f"{name} must be one of {', '.join((*values, 'require'))}"))
    return faults


def parse_options(text: str, setting: str, faults: list[Fault]) -> dict[str, str]:
    """The run-time parameters of `options` (PostgreSQL documentation, 20.1.3): `-c name=value` and `--name=value`.

    A word ends at a space without a backslash before it. Every other switch is a fault.
    """
    words = [ESCAPE.sub(r"\1", word) for word in WORD.findall(text)]
    found: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            pair = words.pop(0)
        elif word.startswith("--") or (word.startswith("-c") and word != "-c"):
            pair = word[2:]
        else:
            faults.append(Fault(setting, f"options: {word.partition('=')[0]!r} is not honoured; use -cNAME=VALUE"))
            continue
        name, equals, value = pair.partition("=")
        name = name.replace("-", "_")
        if not equals or NAME.fullmatch(name) is None:
            faults.append(Fault(setting, "options: expected -cNAME=VALUE"))
            continue
        found[name.lower()] = value
    return found
