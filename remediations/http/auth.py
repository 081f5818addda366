"""Checks credentials (bearer token, user of the web configuration, client certificate) and their roles.

`/`, `/metrics` and `/-/*` are open unless the web configuration names users; then only `/-/healthy` and `/-/ready` are,
because a kubelet has no password. If there is an Authorization header, only that header counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from chassis.errors import InvariantBroken
from chassis.http.web_auth import OverloadedError, WebGuard, credentials_of, names_of
from remediations.core.model.acts import MAX_NAME, Actor, ActSource
from remediations.http.roles import Roles
from remediations.http.tokens import NoCredentialError, TokenCredentials
from remediations.metrics import Notification
from remediations.settings import Role

PROBES = frozenset({"/-/healthy", "/-/ready"})
OPEN_PATHS = PROBES | {"/", "/metrics"}
NEEDED: Mapping[tuple[str, str], Role | None] = {
    ("GET", "/"): None,
    ("GET", "/metrics"): None,
    ("GET", "/-/healthy"): None,
    ("GET", "/-/ready"): None,
    ("POST", "/api/v1/alerts"): Role.DELIVER,
    ("GET", "/api/v1/openapi.json"): Role.READ,
    ("GET", "/api/v1/remediations"): Role.READ,
    ("GET", "/api/v1/remediations/{id}"): Role.READ,
    ("GET", "/api/v1/remediations/{id}/replay"): Role.READ,
    ("GET", "/api/v1/pauses"): Role.READ,
    ("GET", "/api/v1/acts"): Role.READ,
    ("POST", "/api/v1/plan"): Role.READ,
    ("POST", "/api/v1/check-config"): Role.READ,
    ("PUT", "/api/v1/pauses/{name}"): Role.OPERATE,
    ("DELETE", "/api/v1/pauses/{name}"): Role.OPERATE,
    ("POST", "/api/v1/breakers/reset"): Role.OPERATE,
    ("POST", "/api/v1/remediations/{id}/approve"): Role.APPROVE,
    ("POST", "/api/v1/remediations/{id}/reject"): Role.APPROVE,
}
"""The role that each route needs; None: any credential, if one is required at all. HEAD needs what GET needs."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[Notification, int, str], web.Response]


@dataclass(frozen=True, slots=True)
class AuthenticatedCaller:
    """A credential that was accepted."""

    source: ActSource
    name: str
    """The authenticated name."""
    roles: frozenset[Role]
    address: str = ""

    def actor(self, claimed: str = "") -> Actor:
        """The actor, with the name that the request claims besides the authenticated one; raises ValueError."""
        if len(claimed) > MAX_NAME:
            raise ValueError(f"a name has at most {MAX_NAME} characters")
        return Actor(self.source, self.name, claimed.strip(), self.address)


CALLER = web.RequestKey("caller", AuthenticatedCaller)
"""The accepted credential; absent on open paths."""


class AccessControl:
    """The middleware in front of every route."""

    def __init__(self, credentials: TokenCredentials, guard: WebGuard | None, roles: Roles, refuse: Refuse) -> None:
        self._credentials = credentials
        self._guard = guard
        self._roles = roles
        self._refuse = refuse

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Passes requests with a sufficient credential."""
        if request.path in PROBES:
            return await handler(request)
        guard = self._guard
        refused = None if guard is None else guard.refusal_of_client(request)
        if refused is not None:
            return refused
        has_users = guard is not None and guard.has_users
        if request.path in OPEN_PATHS and not has_users:
            return await handler(request)
        caller = await self._identify(request)
        if isinstance(caller, web.Response):
            return caller
        request[CALLER] = caller
        return self._refusal_of_role(request, caller) or await handler(request)

    def _refusal_of_role(self, request: web.Request, caller: AuthenticatedCaller) -> web.Response | None:
        """Returns 403 if the credential lacks the role of the route, otherwise None; also None for an unknown route."""
        if request.match_info.http_exception is not None:
            return None
        needed = NEEDED[key_of(request.match_info.route)]
        if needed is None or needed in caller.roles:
            return None
        has = ", ".join(sorted(caller.roles)) or "no role"
        words = f"this needs the role {needed.value}; {caller.actor().label} has {has}"
        if not self._roles.are_configured:
            words += "; no credential has it while the setting server.roles is missing (the command line needs no role)"
        return self._refuse(Notification.FORBIDDEN, 403, words)

    async def _identify(self, request: web.Request) -> AuthenticatedCaller | web.Response:
        """The credential of the request; 401 or 503 if it has no valid one."""
        guard, header, address = self._guard, request.headers.get("Authorization", ""), request.remote or ""
        scheme, _, token = header.partition(" ")
        try:
            if guard is not None and scheme.lower() == "basic" and await guard.has_password(request):
                user = credentials_of(header)[0]
                return AuthenticatedCaller(ActSource.USER, user, self._roles.of_user(user), address)
        except OverloadedError as error:
            return self._refuse(Notification.UNAVAILABLE, 503, str(error))
        certified = self._certified(request, address)
        if certified is not None:
            return certified
        if not self._credentials.are_configured and guard is not None:
            return self._unknown(header)
        return await self._bearing(token.strip() if scheme.lower() == "bearer" else "", address, header)

    async def _bearing(self, token: str, address: str, header: str) -> AuthenticatedCaller | web.Response:
        """The owner of this bearer token; 401 if it is not ours, 503 if that cannot be checked now."""
        try:
            files = await self._credentials.find(token)
        except NoCredentialError:
            return self._refuse(Notification.UNAVAILABLE, 503, "a token file could never be read")
        if not files:
            return self._unknown(header)
        return AuthenticatedCaller(ActSource.TOKEN, str(files[0]), self._roles.of_tokens(files), address)

    def _certified(self, request: web.Request, address: str) -> AuthenticatedCaller | None:
        """The caller by a verified client certificate, if that is a credential; None otherwise.

        It is one if a role names it and there is no Authorization header, or if no other credential is possible.
        """
        guard, certificate = self._guard, request.get_extra_info("peercert") or {}
        if guard is None or not certificate:
            return None
        names, roles = names_of(certificate), frozenset[Role]()
        is_only_kind = guard.demands_certificate and not guard.has_users and not self._credentials.are_configured
        if is_only_kind or (self._roles.are_configured and "Authorization" not in request.headers):
            roles = self._roles.of_certificate(names)
        if not roles and not is_only_kind:
            return None
        name = ", ".join(sorted(names)) or f"with the serial number {certificate.get('serialNumber')}"
        return AuthenticatedCaller(ActSource.CERTIFICATE, name, roles, address)

    def _unknown(self, header: str) -> web.Response:
        """The answer to a request with an invalid Authorization header; it does not say why the credential is wrong."""
        scheme, _, credential = header.partition(" ")
        words = "a bearer token is needed"
        if credential.strip():
            words = f"this {'token' if scheme.lower() == 'bearer' else 'credential'} is not accepted"
        answer = self._refuse(Notification.UNAUTHORIZED, 401, words)
        answer.headers["WWW-Authenticate"] = 'Bearer realm="controlcore-remediator"'
        if self._guard is not None and self._guard.has_users:
            answer.headers["WWW-Authenticate"] = 'Basic realm="controlcore-remediator"'
        return answer


def key_of(route: web.AbstractRoute) -> tuple[str, str]:
    """The key of a route in NEEDED."""
    method = "GET" if route.method == "HEAD" else route.method
    return method, "" if route.resource is None else route.resource.canonical


def require_roles(app: web.Application) -> None:
    """Raises InvariantBroken for a route without an entry in NEEDED: it would be open to every credential."""
    missing = sorted(" ".join(key_of(route)) for route in app.router.routes() if key_of(route) not in NEEDED)
    if missing:
        raise InvariantBroken(f"routes without a role: {', '.join(missing)}")
