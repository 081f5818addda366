"""Reads a kubeconfig's current context into Credentials, with every fault at once and its place.

The fields and their precedence are those of the "kubeconfig (v1)" reference of Kubernetes: `*-data` wins over the file,
`tokenFile` over `token`, and a relative path starts at the folder of the file that names it. With several files, the
first that has a context, cluster or user of a name, or that names the current context, wins (Kubernetes, "Merging
kubeconfig files"). Impersonation, and a name with a password, are refused. No fault quotes a value.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from chassis.config import existing_paths, split_paths
from chassis.documents import UnreadableError, load_yaml, read_file
from chassis.errors import ConfigError, Fault
from chassis.kubernetes.credentials import SETTING, UNUSABLE, Credentials, read_token, require_token
from chassis.net.key_file import as_file

WHERE = f"{SETTING}.kubeconfig"
PLUG_INS = ("exec", "auth-provider")
REFUSED_OF_USER = {
    "as": "impersonation is not supported",
    "as-uid": "impersonation is not supported",
    "as-groups": "impersonation is not supported",
    "as-user-extra": "impersonation is not supported",
    "username": "a name and password are not supported; give a token or a client certificate",
    "password": "a name and password are not supported; give a token or a client certificate",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One mapping of the file, its location, and the list for its faults."""

    place: str
    fields: Mapping[str, Any]
    folder: Path
    faults: list[Fault]

    def refuse(self, name: str, message: str) -> None:
        """Adds a fault of one field."""
        self.faults.append(Fault(f"{self.place}.{name}", message))

    def refuse_all(self, refused: Mapping[str, str]) -> None:
        """Adds a fault for each field that is set but not supported here."""
        for name, message in refused.items():
            if self.fields.get(name):
                self.refuse(name, message)

    def text(self, name: str) -> str | None:
        """A field's text; None when it is absent, empty or faulty."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            self.refuse(name, "expected text")
            return None
        return value or None

    def is_on(self, name: str) -> bool:
        """A boolean field; false if it is absent."""
        value = self.fields.get(name, False)
        if not isinstance(value, bool | None):
            self.refuse(name, "expected true or false")
        return value is True

    def path(self, name: str) -> Path | None:
        """A field that names a file, relative to the kubeconfig's folder."""
        value = self.text(name)
        return None if value is None else self.folder / value

    def material(self, name: str) -> bytes | Path | None:
        """A certificate or key: the bytes of `NAME-data`, otherwise the file named by NAME."""
        data = self.text(f"{name}-data")
        if data is None:
            return self.path(name)
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
            self.refuse(f"{name}-data", "not base64")
            return None


def from_kubeconfig(path: Path) -> Credentials:
    """The credentials of the file's current context; reads files, so call it off the event loop.

    Raises ConfigError with every fault: a file's under `kubernetes.kubeconfig`, a field's under its path in it.
    """
    faults: list[Fault] = []
    roots = [_Entry(WHERE, _read_mapping(file), file.parent, faults) for file in existing_paths(path)]
    name = next(filter(None, [root.text("current-context") for root in roots]), None)
    if name is None:
        raise ConfigError((Fault(WHERE, f"{UNUSABLE}: {path} has no current-context"), *faults))
    context = _find(roots, "contexts", name)
    cluster = user = None
    if context is not None:
        cluster = _find(roots, "clusters", context.text("cluster") or "")
        user_name = context.text("user")
        user = _find(roots, "users", user_name) if user_name else _Entry(WHERE, {}, context.folder, faults)
    credentials = _read_entries(cluster, user) if cluster is not None and user is not None else None
    if faults or credentials is None:
        raise ConfigError(tuple(faults))
    # A file that does not exist yet is followed too: it may precede the others.
    files = (*split_paths(path), *credentials.files)
    return replace(credentials, files=files, read_again=lambda: from_kubeconfig(path))


def _read_mapping(path: Path) -> Mapping[str, Any]:
    """The file as a mapping; a fault names the line and quotes nothing, because the file holds secrets."""
    try:
        value = load_yaml(read_file(path), is_strict=False)
    except UnreadableError as error:
        raise ConfigError((Fault(WHERE, f"{UNUSABLE}: {error}"),)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise ConfigError((Fault(WHERE, f"{UNUSABLE}: {path} is not YAML{place}"),)) from None
    if not isinstance(value, dict):
        raise ConfigError((Fault(WHERE, f"{UNUSABLE}: {path} is not a kubeconfig"),))
    return value


def _find(roots: Sequence[_Entry], kind: str, name: str) -> _Entry | None:
    """The entry with this name, from the first file that has one; two in that file, or none at all, are a fault."""
    root, found = roots[0], list[Mapping[str, Any]]()
    for root in roots:
        entries = root.fields.get(kind) or []
        if not isinstance(entries, list):
            root.refuse(kind, "expected a list")
            return None
        found = [entry for entry in entries if isinstance(entry, dict) and entry.get("name") == name]
        if found:
            break
    if len(found) != 1:
        root.refuse(kind, f"expected one entry named {name!r}, found {len(found)}")
        return None
    field = kind.removesuffix("s")
    place, value = f"{WHERE}.{kind}[{name}].{field}", found[0].get(field)
    if not isinstance(value, dict):
        root.faults.append(Fault(place, "expected a mapping"))
        return None
    return _Entry(place, value, root.folder, root.faults)


def _read_entries(cluster: _Entry, user: _Entry) -> Credentials:
    """The credentials of a cluster and a user; valid only if no fault was added."""
    user.refuse_all(REFUSED_OF_USER)
    server = _server(cluster)
    token, token_path = _token(user)
    is_tls = server.startswith("https:")
    named = [(cluster.folder, cluster.fields.get("certificate-authority"))] if is_tls else []
    named += [(user.folder, user.fields.get(name)) for name in ("client-certificate", "client-key", "tokenFile")]
    is_verified = is_tls and not cluster.fields.get("insecure-skip-tls-verify")
    names_authority = any(cluster.fields.get(f"certificate-authority{end}") for end in ("", "-data"))
    return Credentials(
        server=server,
        tls=_tls(cluster, user) if is_tls else None,
        server_name=cluster.text("tls-server-name") if is_tls else None,
        proxy=_proxy(cluster),
        token=token,
        token_path=token_path,
        plug_in=user.fields if any(user.fields.get(name) for name in PLUG_INS) else None,
        folder=user.folder,
        files=tuple(folder / name for folder, name in named if isinstance(name, str) and name),
        is_system_trusted=is_verified and not names_authority,
    )


def _server(cluster: _Entry) -> str:
    """The address without a trailing slash; an invalid one is a fault."""
    server = (cluster.text("server") or "").rstrip("/")
    try:
        parts = urlsplit(server)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.username is not None or parts.query or parts.fragment:
        cluster.refuse("server", "expected https://host:port without a name, a password or a query")
        return ""
    return server


def _proxy(cluster: _Entry) -> str | None:
    """The proxy's address, which may contain a name and a password; any scheme other than HTTP is a fault."""
    proxy = cluster.text("proxy-url")
    try:
        parts = urlsplit(proxy or "")
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if proxy is not None and not is_usable:
        cluster.refuse("proxy-url", "expected http://host:port or https://host:port")
        return None
    return proxy


def _token(user: _Entry) -> tuple[str | None, Path | None]:
    """The bearer token, and the file that it is read from again."""
    token, token_path = user.text("token"), user.path("tokenFile")
    field = "token" if token_path is None else "tokenFile"
    try:
        if token_path is not None:
            return read_token(token_path), token_path
        return (None if token is None else require_token(token.strip(), "the text")), None
    except ValueError as error:
        user.refuse(field, str(error))
        return None, None


def _tls(cluster: _Entry, user: _Entry) -> ssl.SSLContext:
    """The TLS context: trusted CAs, and the client certificate if there is one."""
    authority = cluster.material("certificate-authority")
    is_unverified = cluster.is_on("insecure-skip-tls-verify")
    context = ssl.create_default_context()
    if is_unverified:
        if authority is not None:
            cluster.refuse("insecure-skip-tls-verify", "contradicts certificate-authority")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority is not None:
        context = _trusting(authority, cluster) or context
    _add_certificate(context, user)
    return context


def _trusting(authority: bytes | Path, cluster: _Entry) -> ssl.SSLContext | None:
    """A context that trusts only this CA; None if it cannot be loaded."""
    try:
        if isinstance(authority, Path):
            return ssl.create_default_context(cafile=authority)
        # Outside the certificates, which are ASCII, there are comments.
        return ssl.create_default_context(cadata=authority.decode("ascii", errors="ignore"))
    except (OSError, ValueError) as error:
        field = "certificate-authority" if isinstance(authority, Path) else "certificate-authority-data"
        cluster.refuse(field, f"cannot load it: {_problem(error)}")
        return None


def _add_certificate(context: ssl.SSLContext, user: _Entry) -> None:
    """Loads the client certificate and its key; either without the other is a fault."""
    certificate, key = user.material("client-certificate"), user.material("client-key")
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        missing = "client-certificate" if certificate is None else "client-key"
        user.refuse(missing, "a client certificate needs its key, and a key its certificate")
        return
    try:
        with as_file(certificate) as certificate_path, as_file(key) as key_path:
            # With any password, even an empty one, OpenSSL does not ask for one on the terminal.
            context.load_cert_chain(certificate_path, key_path, password="")
    except (OSError, ValueError) as error:
        user.refuse("client-certificate", f"cannot load it with its key: {_problem(error)}")


def _problem(error: Exception) -> str:
    """The error of OpenSSL or the system, without the content."""
    if isinstance(error, ssl.SSLError):
        return error.reason or "not a certificate or key that OpenSSL can read"
    return (error.strerror if isinstance(error, OSError) else None) or "not a certificate or key that OpenSSL can read"
