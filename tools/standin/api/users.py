"""The users of the stand-in: they log in, open sessions and are granted or denied access, at a modest rate."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
from redis.exceptions import RedisError

if TYPE_CHECKING:
    import redis.asyncio

    from tools.standin.database import BlockingPool, Row
    from tools.standin.faults.switches import FaultBox

SESSION_MINUTES = 30
SECURITY_AUDIT_SECONDS = 30 * 86400
PIP_ATTRIBUTE_SECONDS = 300
REQUESTS_PER_DECISION = 5
REQUESTS_PER_SESSION = 50
REQUESTS_PER_CACHE_WRITE = 10
ORDERS, UNPROTECTED = "1", "9"
"""Resources by the text of their id, as policies.resource_id has them; the second has no policy."""
SIMULATED_USERS = (("ada", 3), ("grace", 4), ("edsger", 5))


def is_password(password: str, stored: str) -> bool:
    """Whether the password fits a stored `pbkdf2_sha256$rounds$salt$hex`."""
    _, rounds, salt, digest = stored.split("$")
    given = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), int(rounds)).hex()
    return secrets.compare_digest(given, digest)


def hash_token(token: str) -> str:
    """Return what user_sessions.token_hash holds for a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(pool: BlockingPool, user_id: int) -> str:
    """Insert a session of half an hour, count it in users.active_sessions, and return its token."""
    token = secrets.token_urlsafe(24)
    pool.execute(
        "INSERT INTO user_sessions (user_id, jti, token_hash, expires_at) "
        "VALUES (%s, %s, %s, (now() AT TIME ZONE 'UTC') + make_interval(mins => %s))",
        (user_id, secrets.token_hex(16), hash_token(token), SESSION_MINUTES),
    )
    pool.execute(
        "UPDATE users SET active_sessions = active_sessions + 1, last_login = now() AT TIME ZONE 'UTC' WHERE id = %s",
        (user_id,),
    )
    return token


def find_session_user(pool: BlockingPool, token: str) -> Row | None:
    """Return id, username and role of the user whose live session has this token, or None."""
    rows = pool.fetch(
        "SELECT u.id, u.username, u.role FROM user_sessions s JOIN users u ON u.id = s.user_id "
        "WHERE s.token_hash = %s AND NOT s.revoked AND s.expires_at > (now() AT TIME ZONE 'UTC')",
        (hash_token(token),),
    )
    return rows[0] if rows else None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of audit_logs. Decisions name neither the user's id nor a type, and come from 127.0.0.1."""

    event_type: str
    outcome: str
    user: str
    user_id: int | None = None
    action: str = ""
    resource: str = ""
    policy_name: str | None = None
    reason: str | None = None
    resource_type: str | None = None


def write_audit(pool: BlockingPool, event: AuditEvent, environment: str = "sandbox") -> None:
    """Insert one row into audit_logs."""
    pool.execute(
        'INSERT INTO audit_logs (event_type, outcome, "user", user_id, action, resource, resource_type, result, '
        "policy_name, reason, environment, source_ip) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(event.event_type, event.outcome, event.user, event.user_id, event.action, event.resource),
            *(event.resource_type, "success" if event.outcome in ("PERMIT", "SUCCESS") else "failure"),
            *(event.policy_name, event.reason, environment),
            "127.0.0.1" if event.outcome in ("PERMIT", "DENY") else None,
        ),
    )


def login_event(username: str, user_id: int | None, *, is_allowed: bool) -> AuditEvent:
    """Return the audit event of a login; `user_id` is None for a name that does not exist."""
    resource = "Unknown User" if user_id is None else f"User #{user_id}"
    if is_allowed:
        return AuditEvent("USER_LOGIN", "SUCCESS", username, user_id, "User logged in", resource, resource_type="user")
    action, reason = f"Failed login attempt for user: {username}", "Incorrect username or password"
    event = AuditEvent("USER_LOGIN_FAILED", "FAILURE", username, user_id, action, resource, resource_type="user")
    return replace(event, reason=reason)


def find_user(pool: BlockingPool, user_id: int) -> dict[str, object]:
    """Return a user as the login's answer shows it: without password and keys."""
    (row,) = pool.fetch_named("SELECT * FROM users WHERE id = %s", (user_id,))
    hidden = ("password_hash", "api_key_sandbox", "api_key_production")
    shown = {name: value for name, value in row.items() if name not in hidden}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in shown.items()}


def decide(pool: BlockingPool, username: str, role: str, resource: str, action: str) -> AuditEvent:
    """Return the decision of the control plane's own table lookup, as the audit event that records it.

    The first enabled policy of the resource whose scope has the caller's role decides; without one it is DENY.
    """
    rows = pool.fetch(
        "SELECT name, effect FROM policies WHERE status = 'enabled' AND resource_id = %s "
        "AND (scope::jsonb ? %s OR scope::jsonb ? 'all') ORDER BY id LIMIT 1",
        (resource, role),
    )
    if not rows:
        reason = "No applicable policies found"
        return AuditEvent("ACCESS_DENIED", "DENY", username, None, action, resource, None, reason)
    policy, effect = str(rows[0][0]), rows[0][1]
    if effect == "allow":
        reason = f"Policy {policy} allows access"
        return AuditEvent("ACCESS_GRANTED", "PERMIT", username, None, action, resource, policy, reason)
    return AuditEvent(
        "ACCESS_DENIED", "DENY", username, None, action, resource, policy, f"Policy {policy} denies access"
    )


class Users:
    """Sends the product's own traffic: each request blocks the event loop for as long as the database takes."""

    def __init__(self, pool: BlockingPool, cache: redis.asyncio.Redis, box: FaultBox) -> None:
        """Take what the requests are made with; `run` makes them."""
        self._pool = pool
        self._cache = cache
        self._box = box

    async def run(self, interval_seconds: float) -> None:
        """Make one request every interval, for ever; a failing database or Redis fails only that request."""
        for number in itertools.count(1):
            self._box.block_while_hung()
            try:
                self._request(number)
            except psycopg.Error as error:
                print(f"ERROR:app.middleware.security:Security middleware error: {error}", file=sys.stderr)
            if number % REQUESTS_PER_CACHE_WRITE == 0:
                await self._write_cache()
            await asyncio.sleep(interval_seconds)

    def _request(self, number: int) -> None:
        name, user_id = SIMULATED_USERS[number % len(SIMULATED_USERS)]
        self._pool.fetch("SELECT id, status FROM policies WHERE status = 'enabled'")
        if number % REQUESTS_PER_DECISION == 0:
            resource = UNPROTECTED if number % (4 * REQUESTS_PER_DECISION) == 0 else ORDERS
            environment = "production" if number % (2 * REQUESTS_PER_DECISION) == 0 else "sandbox"
            write_audit(self._pool, decide(self._pool, name, "developer", resource, "read"), environment)
        if number % REQUESTS_PER_SESSION == 0:
            open_session(self._pool, user_id)

    async def _write_cache(self) -> None:
        try:
            async with asyncio.timeout(1):
                await self._cache.set("pip:conn:1:attr:department", "engineering", ex=PIP_ATTRIBUTE_SECONDS)
                await self._cache.set(
                    f"audit:security:{secrets.randbelow(10**9)}:{secrets.token_hex(4)}", "{}", ex=SECURITY_AUDIT_SECONDS
                )
        except (RedisError, OSError, TimeoutError) as error:
            print(f"Failed to log security event: {error}", file=sys.stderr)
