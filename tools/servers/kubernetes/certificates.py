"""Makes the keys and certificates of a loopback cluster with the machine's openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SERVED_NAMES = (
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    "DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1"
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and the self-signed certificate over it; the certificate is its own authority."""

    key_path: Path
    certificate_path: Path


def make_serving_pair(folder: Path, name: str, names: str = SERVED_NAMES) -> KeyPair:
    """A pair for TLS on 127.0.0.1 and localhost (or other names), valid for two days: `folder`/`name`.{key,crt}."""
    pair = KeyPair(key_path=folder / f"{name}.key", certificate_path=folder / f"{name}.crt")
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"),
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
        *("-keyout", str(pair.key_path), "-out", str(pair.certificate_path)),
    )
    return pair


def make_signing_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """The private and the public key that ServiceAccount tokens are signed and checked with."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private))
    _openssl("ec", "-in", str(private), "-pubout", "-out", str(public))
    return private, public


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
