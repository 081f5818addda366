"""Reads the web configuration file of Prometheus' exporter-toolkit, with its own field names.

The format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. A setting that
Python's TLS does not support is a fault; it is never weakened.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from chassis.config import Section, load_section
from chassis.errors import ConfigError, Fault
from chassis.net.key_file import as_file

CIPHERS = {
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
"""The TLS 1.3 suites map to nothing: they cannot be chosen, as in Go."""


CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
"""Go's durations (time.ParseDuration)."""
HEADERS = {
    "Content-Security-Policy": None,
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": None,
    "Strict-Transport-Security": None,
}
"""The headers that the format allows, with their values if these are a closed set. A blank header is not sent."""
VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
Stamps = tuple[tuple[int, int, int] | None, ...]
Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
CLIENT_CHECKS = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
"""RequestClientCert requests a certificate without verifying it, which is the same as not requesting one."""


def _check_users(users: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Refuses anything but a bcrypt hash: a plain-text password would silently never match."""
    for user, value in users.items():
        if BCRYPT.fullmatch(value.get_secret_value()) is None:
            raise ValueError(f"the value of user {user} is not a bcrypt hash")
    return users


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Refuses headers and values that the format does not have."""
    for name, value in headers.items():
        if name not in HEADERS:
            raise ValueError(f"header {name} cannot be set; allowed here: {', '.join(HEADERS)}")
        allowed = HEADERS[name]
        if allowed is not None and value and value.lower() not in allowed:
            raise ValueError(f"{name} is one of {', '.join(allowed)}")
        if "\r" in value or "\n" in value:
            raise ValueError(f"{name} holds a line break")
    return headers


def _as_text(value: Any) -> Any:
    """A scalar as written: Go's YAML reads `0`, `1.5` and `true` as text where the format expects text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _as_interval(value: Any) -> Any:
    """A bare number counts nanoseconds, as in Go."""
    return f"{value}ns" if isinstance(value, int) and not isinstance(value, bool) else value


def _as_path(value: Any) -> Any:
    """A blank path means no file."""
    return None if value == "" else value


def _as_group(value: Any) -> Any:
    """An empty section has the defaults."""
    return {} if value is None else value


def _as_tls(value: Any) -> Any:
    """An empty section does not enable TLS, as in Go."""
    return None if value == {} else value


def _check_client_auth(value: str) -> str:
    """Refuses an unknown kind of client authentication, or one that Python's TLS does not support."""
    if value == "RequireAnyClientCert":
        raise ValueError("an unverified client certificate cannot be required here; use RequireAndVerifyClientCert")
    if value not in CLIENT_CHECKS:
        raise ValueError(f"allowed here: {', '.join(name for name in CLIENT_CHECKS if name)}")
    return value


FilePath = Annotated[Path | None, BeforeValidator(_as_path)]


class TlsServerConfig(Section):
    """TLS of the connections, and which clients are trusted."""

    cert: str = ""
    cert_file: FilePath = None
    key: SecretStr = SecretStr("")
    key_file: FilePath = None
    client_auth_type: Annotated[str, AfterValidator(_check_client_auth)] = ""
    client_ca: str = ""
    client_ca_file: FilePath = None
    """Without it and client_ca, client certificates are verified against the system's CAs, as Go does."""
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = Field(default=(), max_length=1)
    """Python's ssl module sets one curve or none."""

    @model_validator(mode="after")
    def check(self) -> TlsServerConfig:
        """Refuses missing, duplicate or contradictory settings."""
        for name in ("cert", "key"):
            inline = getattr(self, name)
            has_inline = bool(inline.get_secret_value() if isinstance(inline, SecretStr) else inline)
            if has_inline == (getattr(self, f"{name}_file") is not None):
                raise ValueError(f"exactly one of {name} and {name}_file is needed")
        if self.client_ca and self.client_ca_file is not None:
            raise ValueError("client_ca and client_ca_file exclude each other")
        has_ca = bool(self.client_ca) or self.client_ca_file is not None
        if has_ca and self.client_auth_type in {"", "NoClientCert"}:
            raise ValueError("client_ca_file needs a client_auth_type, which is not set")
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError("client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert")
        unknown = [name for name in (*self.cipher_suites,) if name not in CIPHERS]
        unknown += [name for name in self.curve_preferences if name not in CURVES]
        if unknown:
            raise ValueError(f"unknown cipher suites or curves: {', '.join(unknown)}")
        return self


Text = Annotated[str, BeforeValidator(_as_text)]


class HttpServerConfig(Section):
    """Headers of every answer."""

    http2: bool = True
    """Accepted and without effect: this server speaks HTTP/1.1 to every client."""
    headers: Annotated[dict[str, Text], AfterValidator(_check_headers), BeforeValidator(_as_group)] = Field(
        default_factory=dict
    )


class RateLimit(Section):
    """Rate limit of all requests."""

    interval: Annotated[str, BeforeValidator(_as_interval)] = "0s"
    """Time per request, e.g. 1s; 0s sets no limit."""
    burst: int = Field(default=0, ge=0)

    @property
    def interval_seconds(self) -> float:
        """The interval as seconds."""
        return sum(float(number) * UNITS[unit] for number, unit in DURATION.findall(self.interval))

    @model_validator(mode="after")
    def check(self) -> RateLimit:
        """Refuses an interval that cannot be read, and one that would refuse every request."""
        if DURATION.sub("", self.interval) not in {"", "0"}:
            raise ValueError("interval must be a duration such as 1s or 500ms")
        if self.interval_seconds > 0 and self.burst == 0:
            raise ValueError("burst must be at least 1 when an interval is set")
        return self


class WebConfig(Section):
    """The whole file."""

    tls_server_config: Annotated[TlsServerConfig | None, BeforeValidator(_as_tls)] = None
    http_server_config: Annotated[HttpServerConfig, BeforeValidator(_as_group)] = HttpServerConfig()
    basic_auth_users: Annotated[dict[str, SecretStr], AfterValidator(_check_users), BeforeValidator(_as_group)] = Field(
        default_factory=dict
    )
    rate_limit: Annotated[RateLimit, BeforeValidator(_as_group)] = RateLimit()


@dataclass(frozen=True, slots=True)
class Web:
    """A usable web configuration."""

    config: WebConfig
    tls: ssl.SSLContext | None
    files: tuple[Path, ...]
    """The file itself and every file that it names."""
    stamps: Stamps
    """State of these files before they were read."""


def read_web(path: Path) -> Web:
    """The file and the certificates that it names; raises ConfigError with its faults. Reads files: not on the loop."""
    before = stamps_of((path,))
    config = load_section(WebConfig, path)
    settings = config.tls_server_config
    if settings is None:
        return Web(config, None, (path,), before)
    named = (settings.cert_file, settings.key_file, settings.client_ca_file)
    files = (path, *(path.parent / file for file in named if file is not None))
    before += stamps_of(files[1:])
    try:
        return Web(config, _tls_context(settings, path.parent), files, before)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError((Fault(f"{path}: tls_server_config", f"cannot be used: {error}"),)) from error


def stamps_of(files: tuple[Path, ...]) -> Stamps:
    """Changes when a file is rewritten or replaced; None for a missing file."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


def _tls_context(settings: TlsServerConfig, folder: Path) -> ssl.SSLContext:
    """The server's TLS as the file describes it; relative paths begin at the file's folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = VERSIONS[settings.min_version], VERSIONS[settings.max_version]
    if settings.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [CIPHERS[name] for name in settings.cipher_suites if CIPHERS[name]]
    if suites:
        context.set_ciphers(":".join(suites))
    for curve in settings.curve_preferences:
        context.set_ecdh_curve(CURVES[curve])
    cert = settings.cert.encode() if settings.cert_file is None else folder / settings.cert_file
    key = settings.key.get_secret_value().encode() if settings.key_file is None else folder / settings.key_file
    with as_file(cert) as cert_path, as_file(key) as key_path:
        # With a password given, an encrypted key is a fault, not a question at the terminal.
        context.load_cert_chain(cert_path, key_path, password="")
    context.verify_mode = CLIENT_CHECKS[settings.client_auth_type]
    if settings.client_ca_file is not None:
        context.load_verify_locations(folder / settings.client_ca_file)
    elif settings.client_ca:
        context.load_verify_locations(cadata=settings.client_ca)
    elif context.verify_mode is not ssl.CERT_NONE:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return context
