"""Gets our credentials from a kubeconfig's plug-in: `exec`, which is a program, or the older `auth-provider`.

Everything here blocks and must run in a thread: a plug-in may take longer than the call that needs it, and its answer
must survive the end of that call.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from chassis.documents import parse_json
from chassis.errors import Redact, quote_foreign
from chassis.net.key_file import as_file

RUN_SECONDS = 60.0
"""Longest run of a plug-in; then it is killed."""
STDERR_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Given:
    """A plug-in's credentials: a token, a client certificate with its key (PEM), or both."""

    token: str | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    ends_at: float | None = None
    """Expiry as Unix time; None if the plug-in gives none."""

    def load_into(self, tls: ssl.SSLContext) -> None:
        """Loads the certificate into the context. Raises ValueError if it and its key are invalid."""
        try:
            with as_file(self.certificate or b"") as certificate, as_file(self.key or b"") as key:
                # With any password, even an empty one, OpenSSL does not ask for one on the terminal.
                tls.load_cert_chain(certificate, key, password="")
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"the plug-in gave a certificate that cannot be loaded: {error.strerror}") from error


def ask_plug_in(user: Mapping[str, Any], folder: Path, redact: Redact = str) -> Given:
    """The credentials from the plug-in of a kubeconfig's user entry; `folder` is the kubeconfig's.

    Raises ValueError, which quotes the plug-in after `redact`.
    """
    given = _run_exec(user["exec"], folder, redact) if user.get("exec") else _ask_auth_provider(user, redact)
    if given.token is None and given.certificate is None:
        raise ValueError("the plug-in gave neither a token nor a certificate")
    return given


def _run_exec(entry: Any, folder: Path, redact: Redact) -> Given:
    """Runs the program (Kubernetes documentation, "client-go credential plugins")."""
    try:
        command, version = [str(entry["command"]), *map(str, entry.get("args") or ())], str(entry["apiVersion"])
        variables = {str(item["name"]): str(item["value"]) for item in entry.get("env") or ()}
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"the plug-in failed: its entry cannot be read: {error!r}") from error
    if os.sep in command[0]:
        command[0] = str(folder / command[0])
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    try:
        done = subprocess.run(  # noqa: S603 - the kubeconfig names the program
            command,
            env={**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"the plug-in failed: it did not end within {RUN_SECONDS:.0f} s") from error
    except OSError as error:
        raise ValueError(f"the plug-in failed: cannot run {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = quote_foreign(done.stderr.decode("utf-8", errors="replace").strip(), redact, STDERR_LENGTH)
        raise ValueError(f"the plug-in failed: it ended with status {done.returncode}: {said}")
    return _read_answer(done.stdout, version)


def _read_answer(output: bytes, version: str) -> Given:
    """The ExecCredential's status; no error quotes it."""
    try:
        status = _require_status(parse_json(output), version)
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        end = status.get("expirationTimestamp")
        return Given(
            status.get("token"),
            None if certificate is None else certificate.encode(),
            None if key is None else key.encode(),
            None if end is None else _unix_time(end),
        )
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("the plug-in failed: its answer is not an ExecCredential") from error


def _require_status(answer: Any, version: str) -> Any:
    """The part that holds the credentials; ValueError for an answer of another kind or version."""
    if (answer["kind"], answer["apiVersion"]) != ("ExecCredential", version):
        raise ValueError("not an ExecCredential of the requested version")
    return answer["status"]


def _unix_time(text: str) -> float:
    """An RFC 3339 time as Unix seconds; ValueError for one without a time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time has no zone")
    return moment.timestamp()


def _ask_auth_provider(user: Mapping[str, Any], redact: Redact) -> Given:
    """Runs an auth-provider (removed from kubectl in 1.26) by kubernetes_asyncio, which gets only the user entry."""
    from kubernetes_asyncio import config  # noqa: PLC0415 - heavy
    from kubernetes_asyncio.client.configuration import Configuration  # noqa: PLC0415 - heavy

    configuration = Configuration()
    entries = {
        "current-context": "own",
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
        "clusters": [{"name": "own", "cluster": {"server": "http://localhost"}}],
        "users": [{"name": "own", "user": dict(user)}],
    }
    try:
        asyncio.run(config.load_kube_config_from_dict(entries, client_configuration=configuration))
    except (
        config.ConfigException, aiohttp.ClientError, OSError, ImportError, ValueError, LookupError, TypeError,
        RuntimeError,
    ) as error:  # fmt: skip
        raise ValueError(f"the plug-in failed: {quote_foreign(str(error), redact, STDERR_LENGTH)}") from error
    token = configuration.api_key.get("BearerToken")
    return Given(None if token is None else str(token).removeprefix("Bearer "))
