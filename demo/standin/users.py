"""The users of the stand-in: they log in, open sessions and are granted or denied access, at a modest rate."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from redis.exceptions import RedisError

if TYPE_CHECKING:
    import redis.asyncio

    from demo.standin.database import BlockingPool, Row
    from demo.standin.faults import FaultBox

SESSION_MINUTES = 30
SECURITY_AUDIT_SECONDS = 30 * 86400
PIP_ATTRIBUTE_SECONDS = 300
REQUESTS_PER_DECISION = 5
REQUESTS_PER_SESSION = 50
REQUESTS_PER_CACHE_WRITE = 10
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
    """One row of audit_logs; its environment is `sandbox` always, as the product writes it."""

    event_type: str
    outcome: str
    user: str
    user_id: int | None = None
    action: str = ""
    resource: str = ""
    policy_name: str | None = None
    reason: str | None = None


def write_audit(pool: BlockingPool, event: AuditEvent, environment: str = "sandbox") -> None:
    """Insert one row into audit_logs."""
    pool.execute(
        'INSERT INTO audit_logs (event_type, outcome, "user", user_id, action, resource, resource_type, result, '
        "policy_name, reason, environment) VALUES (%s, %s, %s, %s, %s, %s, 'api', %s, %s, %s, %s)",
        (
            *(event.event_type, event.outcome, event.user, event.user_id, event.action, event.resource),
            "allowed" if event.outcome in ("PERMIT", "SUCCESS") else "denied",
            *(event.policy_name, event.reason, environment),
        ),
    )


def decide(user: str, resource: str, action: str) -> AuditEvent:
    """Return the decision of the control plane's own table lookup, as the audit event that records it."""
    if (user, resource, action) == ("canary-allow", "canary-resource", "read"):
        return AuditEvent(
            "ACCESS_GRANTED", "PERMIT", user, None, action, resource, "canary", "Access allowed by policy"
        )
    if resource == "orders" and action in ("read", "list"):
        return AuditEvent(
            "ACCESS_GRANTED", "PERMIT", user, None, action, resource, "orders-read", "Access allowed by policy"
        )
    return AuditEvent("ACCESS_DENIED", "DENY", user, None, action, resource, None, "No matching policy")


class Users:
    """Sends the product's own traffic: each request blocks the event loop for as long as the database takes."""

    def __init__(self, pool: BlockingPool, cache: redis.asyncio.Redis, box: FaultBox) -> None:
        """Take what the requests are made with; `run` makes them."""
        self._pool = pool
        self._cache = cache
        self._box = box

    async def run(self, interval_seconds: float) -> None:
        """Make one request every interval, for ever; a failing database or Redis costs that request only."""
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
            action = "delete" if number % (4 * REQUESTS_PER_DECISION) == 0 else "read"
            environment = "production" if number % (2 * REQUESTS_PER_DECISION) == 0 else "sandbox"
            write_audit(self._pool, decide(name, "orders", action), environment)
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
