"""Shared by the addresses of PostgreSQL and Redis: early URL checks, and rotating passwords."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import SecretStr

from chassis.config import read_secret
from chassis.errors import BackendError, ConfigError, Fault, PermanentError, Reason

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import Self


class _Place(Protocol):
    """The parts of an address."""

    @property
    def password(self) -> SecretStr:
        """The URL's password, empty for none."""
        ...


ADVICE = "percent-encode #, /, ?, @, :, [ and % in a user or a password (# is %23)"
PlaceT = TypeVar("PlaceT", bound=_Place)


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL that every kind of server needs."""

    parts: SplitResult
    port: int | None
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Address(ABC, Generic[PlaceT]):
    """The address of a server and our credentials.

    Raises ConfigError, with the setting's path, when the URL cannot be used.
    """

    url: SecretStr
    password_file: Path | None = None
    """File with the password, read again at every connect; wins over the URL's."""
    setting: str = "url"
    """Path of the setting that faults name."""

    def __post_init__(self) -> None:
        """Refuses a bad URL when the settings are read, not at the first connect."""
        self.target()

    @classmethod
    def parse(cls, url: SecretStr | str, *, password_file: Path | None = None) -> Self:
        """The address from a URL; change other fields with `dataclasses.replace`."""
        secret = url if isinstance(url, SecretStr) else SecretStr(url)
        return cls(secret, password_file=password_file)

    @abstractmethod
    def read(self, faults: list[Fault]) -> PlaceT | None:
        """The parts of the URL, with every fault added to `faults`.

        No fault repeats the URL, which may contain secrets.
        """

    def target(self) -> PlaceT:
        """The parts of the URL."""
        faults: list[Fault] = []
        target = self.read(faults)
        if faults or target is None:
            raise ConfigError(tuple(faults))
        return target

    @property
    def password_setting(self) -> str:
        """The setting that supplies the password."""
        return self.setting if self.password_file is None else f"{self.setting.rpartition('.')[0]}.password_file"

    def own_fault(self, error: BackendError) -> BackendError:
        """The error of a failed access, with the setting that it concerns."""
        setting = self.password_setting if error.reason is Reason.AUTH else self.setting
        return error if setting in str(error) else PermanentError(error.reason, f"{error}; our setting {setting}")

    def read_password(self, target: PlaceT) -> str:
        """The password to log in with, empty for none; reads the file, so call it off the event loop."""
        if self.password_file is None:
            return target.password.get_secret_value()
        try:
            return read_secret(self.password_file, self.password_setting).get_secret_value()
        except ConfigError as error:
            raise PermanentError(Reason.AUTH, str(error)) from error


def split_url(url: SecretStr, setting: str, faults: list[Fault]) -> Url | None:
    """The URL's parts and parameters; None, and a fault, if it is not a URL.

    An unencoded `#`, `/` or `?` in a password ends the authority part before the `@`: the rest of the password would be
    read as path, parameter or fragment, and its beginning as host or port.
    """
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        credentials = text.partition("://")[2].rpartition("@")[0]
        advice = f"; {ADVICE}" if set(credentials) & set("#/?[]") else ""
        faults.append(Fault(setting, f"not a URL: the host or the port cannot be read{advice}"))
        return None
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    is_cut = "@" not in parts.netloc and "@" in parts.path + "".join(parameters)
    if "#" in text or (is_cut and parts.netloc):
        faults.append(Fault(setting, f"not a URL: its user or password cannot be read; {ADVICE}"))
        return None
    return Url(parts, port, parameters)


def refuse_unknown(
    parameters: Collection[str], known: Collection[str], without_effect: Collection[str], setting: str
) -> list[Fault]:
    """A fault for each unknown parameter; parameters without effect are accepted."""
    return [
        Fault(setting, f"unknown parameter {name}; known: {', '.join(known)}")
        for name in sorted(set(parameters) - set(known) - set(without_effect))
    ]
