"""Authorises requests: rate limit, client certificate names, basic authentication. Reloads a changed file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import bcrypt
from aiohttp import web

from chassis.errors import ConfigError, ControlCoreError, Fault
from chassis.http.connection_limits import address_of
from chassis.http.web_config import Web, read_web, stamps_of

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr
    from structlog.typing import FilteringBoundLogger

    from chassis.clock import Clock
    from chassis.http.web_config import RateLimit

LOOK_SECONDS = 1.0
REMEMBERED = 100
WAITING_MAX = 16
"""Most passwords that wait for a check; more get 503. A password that was right before does not wait."""
WAITING_MAX_PER_ADDRESS = 4
"""Limit for one address, so that a flood from it does not block a first correct password from elsewhere."""
BCRYPT_BYTES = 72
"""bcrypt reads no more of a password; longer ones are compared up to here, as Go does."""
PROTECTIONS = ("users", "TLS", "verified client certificates", "client_allowed_sans", "client_ca_file")
REALM = {"WWW-Authenticate": "Basic"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(StrEnum):
    """Why a request was refused."""

    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    """Too many passwords wait for a check, so this one was not checked; the request may be sent again."""


class OverloadedError(ControlCoreError):
    """Too many passwords wait for a check: send the request again."""


class NoteReload(Protocol):
    """Receives the result of each reload of the file."""

    def __call__(self, *, is_successful: bool) -> None:
        """Takes it over."""
        ...


class Passwords:
    """Checks passwords against bcrypt hashes, one at a time and off the loop, and remembers the results.

    One check costs some 50 ms of CPU by design; a scraper sends the same password each time. An unknown name is always
    checked against the same existing user's hash, so that the response time does not reveal which users exist, whatever
    the costs of the hashes.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._known: dict[bool, OrderedDict[bytes, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._lock = asyncio.Lock()
        self._waiting: Counter[str] = Counter()
        self.checks = 0

    async def is_right(self, web_config: Web, header: str, address: str = "") -> bool:
        """Whether an Authorization header names a user with the right password.

        Raises OverloadedError when it cannot be checked now; a password that was right before always can.
        """
        user, password = credentials_of(header)
        users = web_config.config.basic_auth_users
        if not users or (not user and not password):
            return False
        wanted = self._hash_for(users, user)
        proof = hmac.digest(self._key, wanted + b"\0" + user.encode() + b"\0" + password, sha256)
        for verdict, known in self._known.items():
            if proof in known:
                known.move_to_end(proof)
                return verdict and user in users
        if self._waiting.total() >= WAITING_MAX or self._waiting[address] >= WAITING_MAX_PER_ADDRESS:
            raise OverloadedError("too many passwords wait to be checked")
        self._waiting[address] += 1
        try:
            async with self._lock:
                self.checks += 1
                is_right = await asyncio.to_thread(_matches, password, wanted)
        finally:
            self._waiting[address] -= 1
            self._waiting += Counter()  # drops addresses without waiting checks
        is_right = is_right and user in users
        known = self._known[is_right]
        known[proof] = None
        if len(known) > REMEMBERED:
            known.popitem(last=False)
        return is_right

    def _hash_for(self, users: Mapping[str, SecretStr], user: str) -> bytes:
        """The user's hash; for an unknown name, the hash of a user that depends only on the name."""
        found = users.get(user)
        if found is None:
            number = int.from_bytes(hmac.digest(self._key, user.encode(), sha256)[:8])
            found = list(users.values())[number % len(users)]
        return found.get_secret_value().encode()


class Bucket:
    """A token bucket over all requests; it starts full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: float | None = None
        self._at = clock.monotonic()

    def may_pass(self, limit: RateLimit) -> bool:
        """Takes a token; False if there is none."""
        if limit.interval_seconds <= 0:
            return True
        now = self._clock.monotonic()
        tokens = limit.burst if self._tokens is None else self._tokens
        tokens = min(float(limit.burst), tokens + (now - self._at) / limit.interval_seconds)
        self._at, is_there = now, tokens >= 1
        self._tokens = tokens - 1 if is_there else tokens
        return is_there


class WebGuard:
    """The web configuration in force, and the middleware that applies it."""

    def __init__(
        self,
        path: Path,
        first: Web,
        refuse: Callable[[Refused], None],
        clock: Clock,
        limited_status: HTTPStatus = HTTPStatus.TOO_MANY_REQUESTS,
    ) -> None:
        self.web = first
        self.is_reload_successful = True
        self._path = path
        self._refuse = refuse
        self._clock = clock
        self._limited_status = limited_status
        self._passwords = Passwords()
        self._bucket = Bucket(clock)
        self._stamps = first.stamps

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Passes authorised requests."""
        return await self._refusal(request) or await handler(request)

    async def add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Adds the configured headers to an answer before it is sent."""
        headers = self.web.config.http_server_config.headers
        response.headers.update({name: value for name, value in headers.items() if value})

    async def watch(
        self,
        replace_tls: Callable[[ssl.SSLContext | None], Awaitable[None]],
        note: NoteReload,
        logger: FilteringBoundLogger,
    ) -> None:
        """Reloads the file whenever it, or a file that it names, changed; a faulty file changes nothing."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            stamps = await asyncio.to_thread(stamps_of, self.web.files)
            if stamps == self._stamps:
                continue
            self._stamps = stamps
            try:
                following = await asyncio.to_thread(read_web, self._path)
                self._require_protection(following)
            except ConfigError as error:
                self.is_reload_successful = False
                faults = [str(fault) for fault in error.faults]
                logger.warning("web_config.rejected", faults=faults, hint="the previous configuration stays in force")
            else:
                self.web, self.is_reload_successful = following, True
                self._stamps = following.stamps
                await replace_tls(following.tls)
                logger.info("web_config.reloaded")
            note(is_successful=self.is_reload_successful)

    def _require_protection(self, following: Web) -> None:
        """Raises ConfigError for a file with less protection than the current one: an emptied file opens nothing."""
        lost = [
            name
            for name, was, will in zip(PROTECTIONS, protections_of(self.web), protections_of(following), strict=True)
            if was and not will
        ]
        if lost:
            problem = f"it no longer has {', '.join(lost)}; to remove that, restart the program"
            raise ConfigError((Fault(f"{self._path}", problem),))

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """Returns the refusal of an unauthorised request, otherwise None."""
        return self.refusal_of_client(request) or await self._refusal_of_password(request)

    def refusal_of_client(self, request: web.Request) -> web.Response | None:
        """Returns the refusal by rate limit or client certificate, otherwise None."""
        current = self.web
        if not self._bucket.may_pass(current.config.rate_limit):
            self._refuse(Refused.RATE_LIMITED)
            return web.Response(text="rate limit exceeded\n", status=self._limited_status)
        tls = current.config.tls_server_config
        if tls is not None and tls.client_allowed_sans:
            certificate = request.get_extra_info("peercert") or {}
            if not names_of(certificate) & set(tls.client_allowed_sans):
                self._refuse(Refused.UNAUTHORIZED)
                return web.Response(text="the certificate has no allowed client name\n", status=HTTPStatus.FORBIDDEN)
        return None

    def overloaded(self, error: OverloadedError) -> web.Response:
        """Returns 503 if the password cannot be checked now; every sender retries it."""
        self._refuse(Refused.OVERLOADED)
        return web.Response(text=f"{error}\n", status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "1"})

    @property
    def has_users(self) -> bool:
        """Whether the file names users, so that a password can authenticate."""
        return bool(self.web.config.basic_auth_users)

    @property
    def demands_certificate(self) -> bool:
        """Whether every connection needs a verified client certificate."""
        tls = self.web.tls
        return tls is not None and tls.verify_mode is ssl.CERT_REQUIRED

    async def has_password(self, request: web.Request) -> bool:
        """Whether the request names a user of the file with the right password; raises OverloadedError."""
        header = request.headers.get("Authorization", "")
        return self.has_users and await self._passwords.is_right(self.web, header, address_of(request.remote or ""))

    async def _refusal_of_password(self, request: web.Request) -> web.Response | None:
        """Returns 401 for a wrong password and 503 when none can be checked now, otherwise None."""
        try:
            if not self.has_users or await self.has_password(request):
                return None
        except OverloadedError as error:
            return self.overloaded(error)
        self._refuse(Refused.UNAUTHORIZED)
        return web.Response(text="Unauthorized\n", status=HTTPStatus.UNAUTHORIZED, headers=REALM)


def protections_of(web_config: Web) -> tuple[bool, ...]:
    """The protections of a web configuration, in the order of PROTECTIONS."""
    tls, settings = web_config.tls, web_config.config.tls_server_config
    verifies = tls is not None and tls.verify_mode is ssl.CERT_REQUIRED
    names_clients = settings is not None and bool(settings.client_allowed_sans)
    # Without its own CA the file would accept certificates of all the system's CAs.
    names_authority = settings is not None and bool(settings.client_ca_file or settings.client_ca)
    has_authority = names_authority and tls is not None and tls.verify_mode is not ssl.CERT_NONE
    return bool(web_config.config.basic_auth_users), tls is not None, verifies, names_clients, has_authority


def credentials_of(header: str) -> tuple[str, bytes]:
    """User and password of a Basic Authorization header (RFC 7617); both empty for any other header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return user.decode(), password
    except (binascii.Error, ValueError):
        return "", b""


def names_of(certificate: dict[str, Any]) -> set[str]:
    """The subject alternative names of a verified certificate, as the ssl module gives them."""
    return {str(value) for _, value in certificate.get("subjectAltName", ())}


def _matches(password: bytes, wanted: bytes) -> bool:
    """Whether this is the password of the hash."""
    try:
        return bcrypt.checkpw(password[:BCRYPT_BYTES], wanted)
    except ValueError:
        return False
