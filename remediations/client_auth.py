"""How we say who we are to Prometheus and Alertmanager: a bearer token, or a user with a password."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from chassis.config import Section, read_secret
from chassis.errors import ConfigError, PermanentError, Reason


class ClientAuthSettings(Section):
    """Files with secrets are read again at every call, so they may be rotated."""

    bearer_token_file: Path | None = None
    """File with a bearer token that is sent with every call."""
    username: str = Field(default="", pattern=r"^[^:\x00-\x1f]*$")
    """User for basic authentication, as the server's web configuration file names it."""
    password_file: Path | None = None
    """File with that user's password."""

    @model_validator(mode="after")
    def _be_one_of_both(self) -> Self:
        """Refuses what could not be sent as one header."""
        if self.bearer_token_file is not None and self.username:
            raise ValueError("either bearer_token_file or username and password_file")
        if bool(self.username) is not (self.password_file is not None):
            raise ValueError("username and password_file belong together")
        urls = (getattr(self, "url", ""), *getattr(self, "more_urls", ()))
        if (self.bearer_token_file or self.username) and any("@" in urlsplit(url).netloc for url in urls):
            raise ValueError("a user stands in the address already")
        return self


async def authorization(settings: ClientAuthSettings, section: str) -> dict[str, str]:
    """The header that says who we are, none when nothing is set; raises PermanentError(auth) for an unreadable file.

    `section` is the name of the settings' section, for the error.
    """
    try:
        if settings.bearer_token_file is not None:
            name = f"{section}.bearer_token_file"
            token = await asyncio.to_thread(read_secret, settings.bearer_token_file, name)
            return {"Authorization": f"Bearer {token.get_secret_value()}"}
        if settings.password_file is not None:
            password = await asyncio.to_thread(read_secret, settings.password_file, f"{section}.password_file")
            pair = f"{settings.username}:{password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    except ConfigError as error:
        raise PermanentError(Reason.AUTH, str(error)) from error
    return {}
