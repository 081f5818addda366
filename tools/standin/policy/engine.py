"""The policy engine of a bouncer: the built-in policy or a real OPA, and the reasons of the bouncer's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp

if TYPE_CHECKING:
    from tools.standin.faults.switches import FaultBox

OPA_TIMEOUT_SECONDS = 5.0
AUTHORIZE_PATH = "/api/v1/authorize"
ALLOWED = "Access granted by OPA policy"
DENIED = "Access denied by OPA policy"
UNDEFINED = "No policy result (undefined) - default deny"
ENGINE_FAILED = "OPA evaluation failed: "


@dataclass(frozen=True, slots=True)
class Question:
    """Asks whether this user may do this action on this resource."""

    user: str
    resource: str
    action: str


def parse_question(body: object) -> Question:
    """Read `{"user":{"id"},"resource":{"id"},"action":{"name"}}`; raises ValueError for anything else."""
    try:
        user, resource, action = body["user"]["id"], body["resource"]["id"], body["action"]["name"]  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no user.id, resource.id and action.name: {error}") from error
    return Question(str(user), str(resource), str(action))


@dataclass(frozen=True, slots=True)
class Decision:
    """What the bouncer answers."""

    allow: bool
    reason: str


class EngineFailedError(RuntimeError):
    """The engine gave no answer; its text follows the bouncer's `OPA evaluation failed: `."""


class Engine(Protocol):
    """Answers a question: a bool, or None where the policy has no result."""

    async def evaluate(self, question: Question) -> bool | None:
        """Return the policy's result; raises `EngineFailedError`."""
        ...


class BuiltInEngine:
    """Lets `canary-allow` read `canary-resource`, and denies everything else."""

    async def evaluate(self, question: Question) -> bool | None:
        """Return the built-in policy's result."""
        return question == Question("canary-allow", "canary-resource", "read")


class OpaEngine:
    """Asks a real OPA (`POST /v1/data/enabled`) and reads its result as the product's bouncer does."""

    def __init__(self, url: str) -> None:
        """Take OPA's base URL."""
        self._url = url.rstrip("/")

    async def evaluate(self, question: Question) -> bool | None:
        """Return OPA's result; raises `EngineFailedError` when OPA fails, is away or takes over five seconds."""
        given = {
            "user": {"id": question.user},
            "resource": {"id": question.resource},
            "action": {"name": question.action},
        }
        timeout = aiohttp.ClientTimeout(total=OPA_TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{self._url}/v1/data/enabled", json={"input": given}) as answer,
            ):
                if answer.status != 200:
                    raise EngineFailedError(f"OPA returned status {answer.status}")
                body = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise EngineFailedError(str(error) or "context deadline exceeded") from error
        return read_result(body.get("result"))


def read_result(result: object) -> bool | None:
    """The bouncer's decision from `data.enabled`; None without a result.

    If package `enabled.main` exists, it decides, whatever package `enabled` says. An object without `allow` is an
    ordinary denial.
    """
    if not isinstance(result, dict):
        return result if isinstance(result, bool) else None
    main = result.get("main")
    return (main if isinstance(main, dict) else result).get("allow") is True


async def decide(engine: Engine, box: FaultBox, question: Question) -> Decision:
    """Return the bouncer's answer; the faults engine_error, undefined and wrong_answer change it here."""
    if box.get("engine_error", AUTHORIZE_PATH):
        return Decision(allow=False, reason=f"{ENGINE_FAILED}Post http://opa:8181/v1/data/enabled: connection refused")
    if box.get("undefined", AUTHORIZE_PATH):
        return Decision(allow=False, reason=UNDEFINED)
    try:
        result = await engine.evaluate(question)
    except EngineFailedError as error:
        return Decision(allow=False, reason=f"{ENGINE_FAILED}{error}")
    if result is None:
        return Decision(allow=False, reason=UNDEFINED)
    allow = not result if box.get("wrong_answer", AUTHORIZE_PATH) else result
    return Decision(allow=allow, reason=ALLOWED if allow else DENIED)
