"""Reads one YAML file and the environment, which overrides it, once, into frozen settings.

Precedence, strongest first: command line, environment (`PREFIX_NAME`, nested levels joined by `__`), file, defaults.
Unknown keys and unknown variables of the prefix are faults, and all faults are reported at once with their paths.
Secrets are given as files (`*_file`), never as values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args
from urllib.parse import SplitResult, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from chassis.documents import UnreadableError, expect_seconds, load_yaml, read_file, why_unreadable, yaml_problem
from chassis.errors import ConfigError, Fault, unknown_name

NESTED = "__"
SERVICE_LINK = re.compile(r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
SERVICE_LINK_VALUE = re.compile(r"(?:tcp|udp|sctp)://")
"""Variables that kubelet sets in every container for each Service of the namespace, including ours: `NAME_SERVICE_HOST`
and so on (Kubernetes documentation, "Accessing the Service", environment variables). They are not settings.
"""
S = TypeVar("S", bound="Settings")
B = TypeVar("B", bound="Section")


class Section(BaseModel):
    """A frozen group of settings; unknown keys are errors, and each field's docstring documents it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(BaseModel):
    """A program's whole configuration; a subclass names the prefix of its environment variables."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    env_prefix: ClassVar[str]
    """Such as `CONTROLCORE_EXPORTER_`."""


def load(
    kind: type[S],
    path: Path | None,
    *,
    overrides: Mapping[str, Any] | None = None,
    fallbacks: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
) -> S:
    """Reads the settings, or raises ConfigError with every fault and its path.

    `path` None means environment and defaults only. `overrides` come from the command line and win; `fallbacks` are
    weaker than the file and stronger than the defaults. `variables` gives, by the path of the setting, the environment
    variable that a fallback came from, so that a fault can name it.
    """
    faults = _unknown_variables(kind)
    values = merge(fallbacks or {}, read_yaml(path) if path is not None else {})
    values = merge(merge(values, _environment(kind, faults)), overrides or {})
    try:
        settings = kind(**values)
    except ValidationError as error:
        faults += [_fault(kind, item, variables or {}) for item in error.errors(include_url=False)]
        raise ConfigError(tuple(faults)) from None
    if faults:
        raise ConfigError(tuple(faults))
    return settings


def load_section(kind: type[B], path: Path) -> B:
    """Reads one file as a separate section; raises ConfigError with every fault, each with the file's name."""
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        faults = []
        for item in error.errors(include_url=False, include_input=False):
            place = ".".join(str(part) for part in item["loc"]) or "(top)"
            message = str(item["msg"]).removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = unknown_name(str(item["loc"][-1]), _allowed_at(kind, item["loc"][:-1]))
            faults.append(Fault(f"{path}: {place}", message))
        raise ConfigError(tuple(faults)) from None


def require_http(url: str, example: str) -> SplitResult:
    """The parts of a URL; raises ValueError for anything but http or https with a host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("not a URL: the host or the port cannot be read") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"expected a URL such as {example}")
    return parts


def read_secret(path: Path, setting: str) -> SecretStr:
    """The content of a secret file without its trailing newline; raises ConfigError naming the setting."""
    try:
        text = read_file(path).strip()
    except UnreadableError as error:
        raise ConfigError((Fault(setting, str(error)),)) from error
    if not text:
        raise ConfigError((Fault(setting, f"{path} is empty"),))
    return SecretStr(text)


def split_paths(path: Path) -> tuple[Path, ...]:
    """The files that one setting names, separated by `:` as in KUBECONFIG, with `~` expanded."""
    return tuple(Path(part).expanduser() for part in str(path).split(os.pathsep) if part)


def existing_paths(path: Path) -> tuple[Path, ...]:
    """The same without missing files, unless all are missing; a file that cannot be checked counts as existing."""
    return tuple(file for file in split_paths(path) if _may_exist(file)) or split_paths(path)


def _may_exist(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def read_yaml(path: Path) -> dict[str, Any]:
    """The file as a mapping; an empty file is an empty mapping.

    No fault quotes a value of the file, which may be a password.
    """
    try:
        value = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((Fault(str(path), f"cannot read: {why_unreadable(error)}"),)) from error
    except yaml.YAMLError as error:
        raise ConfigError((Fault(str(path), yaml_problem(error)),)) from None
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(
            (Fault(str(path), f"expected a mapping with names at the top, found {type(value).__name__}"),)
        )
    return value


def _environment(kind: type[Settings], faults: list[Fault]) -> dict[str, Any]:
    """These settings from the environment, as a nested mapping; an unreadable value becomes a fault."""
    if not {rest.split(NESTED)[0] for rest in _variables(kind).values()} & {name.upper() for name in kind.model_fields}:
        return {}
    from pydantic_settings import EnvSettingsSource, SettingsError  # noqa: PLC0415 - takes 0.1 s, and is rarely needed

    settings: Any = kind  # it asks for a subclass of its own base, of which it reads only the fields
    try:
        return dict(EnvSettingsSource(settings, env_prefix=kind.env_prefix, env_nested_delimiter=NESTED)())
    except RecursionError:
        faults.append(Fault("environment", "a value is nested too deep"))
        return {}
    except SettingsError as error:
        faults.append(Fault("environment", f"{error}; lists and mappings are given as JSON"))
        return {}


def _variables(kind: type[Settings]) -> dict[str, str]:
    """The variables that have the prefix, each with the rest of its name in capitals."""
    prefix = kind.env_prefix.upper()
    return {name: name.upper()[len(prefix) :] for name in sorted(os.environ) if name.upper().startswith(prefix)}


def _unknown_variables(kind: type[Settings]) -> list[Fault]:
    """A fault for every variable with our prefix that names no top-level setting."""
    prefix = kind.env_prefix.upper()
    known = {name.upper() for name in kind.model_fields}
    faults = []
    for variable, rest in _variables(kind).items():
        name = rest.split(NESTED)[0]
        if name not in known and not _is_service_link(rest, os.environ[variable]):
            meant = _nested_name(kind, rest)
            if meant is not None:
                faults.append(Fault(variable, f"two underscores between section and name: {prefix}{meant}"))
            else:
                faults.append(Fault(variable, unknown_name(name.lower(), [item.lower() for item in known])))
    return faults


def _nested_name(kind: type[BaseModel], name: str) -> str | None:
    """The intended name of a variable with too few underscores, such as SERVER__PORT for SERVER_PORT."""
    for section, item in kind.model_fields.items():
        known, inner = section.upper(), _model_in(item.annotation)
        if name == known:
            return known
        if inner is not None and name.startswith(f"{known}_"):
            found = _nested_name(inner, name.removeprefix(known).lstrip("_"))
            if found is not None:
                return f"{known}{NESTED}{found}"
    return None


def _is_service_link(name: str, value: str) -> bool:
    """Whether kubelet, not an operator, has set this variable."""
    is_port = name.endswith("PORT") and SERVICE_LINK_VALUE.match(value) is not None
    return is_port or SERVICE_LINK.fullmatch(name) is not None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` overridden by `over`, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _fault(kind: type[Settings], item: Mapping[str, Any], variables: Mapping[str, str]) -> Fault:
    """One pydantic error as a fault with its dotted path; no value is quoted except a duration."""
    location = tuple(item["loc"])
    dotted = ".".join(str(part) for part in location) or "(top)"
    path = _variable(kind, location) or giving_variable(variables, dotted, item["input"]) or dotted
    if item["type"] == "extra_forbidden":
        return Fault(path, unknown_name(str(location[-1]), _allowed_at(kind, location[:-1])))
    if item["type"] in {"float_parsing", "int_parsing"} and str(location[-1]).endswith("seconds"):
        return Fault(path, expect_seconds(str(item["input"])))
    return Fault(path, str(item["msg"]).removeprefix("Value error, "))


def giving_variable(variables: Mapping[str, str], path: str, value: object) -> str:
    """The variable that supplied the value at `path`; empty if another source did."""
    name = variables.get(path, "")
    return name if name in os.environ and os.environ[name] == value else ""


def _variable(kind: type[Settings], location: tuple[Any, ...]) -> str | None:
    """The environment variable that supplied the value at this location, if any."""
    wanted = NESTED.join(str(part) for part in location).upper()
    return next((variable for variable, rest in _variables(kind).items() if rest == wanted), None)


def _allowed_at(kind: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The names that the model at this location accepts."""
    current: type[BaseModel] | None = kind
    for part in location:
        if isinstance(part, int) or current is None or part not in current.model_fields:
            continue
        current = _model_in(current.model_fields[part].annotation)
    return sorted(current.model_fields) if current is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings model inside an annotation such as `tuple[X, ...]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


class ConnectionSettings(Section):
    """How many connections are kept, and for how long without a request. The limits apply before authentication."""

    max_connections: int = Field(default=128, ge=4)
    """Connections at once. Each may cost 64 KiB, with TLS 400 KiB; at most half of the allowed open files."""
    max_per_address: int = Field(default=64, ge=2)
    """Connections of one address at once (of a /64 network with IPv6). Peers behind one NAT or load balancer share an
    address: too small a value refuses some of them."""
    header_seconds: float = Field(default=10.0, gt=0)
    """Time for a TLS handshake, and for a request's header, from its first byte or from the start of the connection.
    Too small refuses peers on bad networks.
    """
    header_bytes: int = Field(default=32 * 1024, ge=1024)
    """Bytes of a request's header; a larger one gets 431."""
    idle_seconds: float = Field(default=300.0, gt=0)
    """A connection is closed after this time without a request. A scraper with a longer interval reconnects each
    time.
    """
    max_certificate_seconds: float = Field(default=300.0, gt=0)
    """A connection with a client certificate is closed after this time, so that an expired certificate does not stay
    accepted. Too small costs a handshake for each request.
    """

    @model_validator(mode="after")
    def check(self) -> ConnectionSettings:
        """Refuses limits that contradict each other."""
        if self.max_per_address > self.max_connections:
            raise ValueError("max_per_address is above max_connections")
        return self
