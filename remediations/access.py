"""Decides who may order changes: a bearer token, a user of the web configuration, or a client certificate.

`/`, `/metrics` and `/-/*` are open unless the web configuration names users; then only `/-/healthy` and `/-/ready` are,
because a kubelet has no password.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from chassis.web_guard import OverloadedError, WebGuard, credentials_of
from remediations.credentials import Credentials, NoCredentialError
from remediations.telemetry import Notification

PROBES = frozenset({"/-/healthy", "/-/ready"})
OPEN_PATHS = PROBES | {"/", "/metrics"}
CALLER = web.RequestKey("caller", str)
"""The user who was let in by name; absent for a token, which does not say who holds it."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[Notification, int, str], web.Response]


class Access:
    """The middleware in front of every route."""

    def __init__(self, credentials: Credentials, guard: WebGuard | None, refuse: Refuse) -> None:
        self._credentials = credentials
        self._guard = guard
        self._refuse = refuse

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets in who may ask."""
        if request.path in PROBES:
            return await handler(request)
        guard = self._guard
        refused = None if guard is None else guard.refusal_of_client(request)
        if refused is not None:
            return refused
        has_users = guard is not None and guard.has_users
        if request.path in OPEN_PATHS and not has_users:
            return await handler(request)
        return await self._refusal(request) or await handler(request)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """Returns 401 or 503 when the request has no valid credential, otherwise None."""
        guard, header = self._guard, request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        try:
            if guard is not None and scheme.lower() == "basic" and await guard.has_password(request):
                request[CALLER] = credentials_of(header)[0]
                return None
        except OverloadedError as error:
            return self._refuse(Notification.UNAVAILABLE, 503, str(error))
        is_certified = guard is not None and guard.demands_certificate
        if not self._credentials.are_configured and guard is not None:
            return None if is_certified and not guard.has_users else self._unknown()
        try:
            is_known = await self._credentials.is_known(token.strip() if scheme.lower() == "bearer" else "")
        except NoCredentialError:
            return self._refuse(Notification.UNAVAILABLE, 503, "no token file can be read now")
        return None if is_known else self._unknown()

    def _unknown(self) -> web.Response:
        """The answer that asks for a credential."""
        answer = self._refuse(Notification.UNAUTHORIZED, 401, "a bearer token is needed")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="controlcore-remediator"'
        if self._guard is not None and self._guard.has_users:
            answer.headers["WWW-Authenticate"] = 'Basic realm="controlcore-remediator"'
        return answer
