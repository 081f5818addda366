"""Our credentials for Prometheus and Alertmanager: a bearer token, or a user with a password."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from chassis.config import Section, read_secret
from chassis.errors import ConfigError, PermanentError, Reason


class BasicAuthSettings(Section):
    """`basic_auth` as in the http_config of Prometheus and Alertmanager."""

    username: str = Field(pattern=r"^[^:\x00-\x1f]+$")
    """User in the server's web configuration file."""
    password_file: Path
    """File with that user's password."""


class AuthorizationSettings(Section):
    """`authorization` as in the http_config of Prometheus and Alertmanager."""

    type: Literal["Bearer"] = "Bearer"
    """The word before the credentials in the header."""
    credentials_file: Path
    """File with the token."""


class ClientAuthSettings(Section):
    """The credentials of our calls. Files are read again at every call, so they may be rotated."""

    basic_auth: BasicAuthSettings | None = None
    """A user and a password."""
    authorization: AuthorizationSettings | None = None
    """A token instead."""

    @model_validator(mode="after")
    def _be_one_of_both(self) -> Self:
        """Refuses credentials that do not fit into one header."""
        if self.basic_auth and self.authorization:
            raise ValueError("set either basic_auth or authorization, not both")
        urls = (getattr(self, "url", ""), *getattr(self, "more_urls", ()))
        if (self.basic_auth or self.authorization) and any("@" in urlsplit(url).netloc for url in urls):
            raise ValueError("the address already contains a user")
        return self


def without_user(url: str) -> str:
    """The address without user and password, for display."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def secret_files(settings: ClientAuthSettings | None) -> tuple[tuple[str, Path], ...]:
    """Setting and path of each file that is read for a call."""
    if settings is None:
        return ()
    if settings.basic_auth is not None:
        return (("basic_auth.password_file", settings.basic_auth.password_file),)
    if settings.authorization is not None:
        return (("authorization.credentials_file", settings.authorization.credentials_file),)
    return ()


async def authorization(settings: ClientAuthSettings, section: str) -> dict[str, str]:
    """The authorization header, or none if nothing is set; raises PermanentError(auth) for an unreadable file.

    `section` is the name of the settings' section, for the error.
    """
    for name, path in secret_files(settings):
        try:
            secret = (await asyncio.to_thread(read_secret, path, f"{section}.{name}")).get_secret_value()
        except ConfigError as error:
            raise PermanentError(Reason.AUTH, str(error)) from error
        if settings.basic_auth is None:
            return {"Authorization": f"Bearer {secret}"}
        pair = f"{settings.basic_auth.username}:{secret}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}
