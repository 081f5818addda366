"""Reads with a deadline, and turns a failure into an unknown fact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from chassis.errors import BackendError, Reason
from remediations.core.model.facts import Fact
from remediations.core.policies.policy import Query
from remediations.facts.sources import FactSources

T = TypeVar("T")


async def bounded(source: str, timeout_seconds: float, question: Awaitable[T]) -> Fact[T]:
    """The answer as a fact; a failure or a missed deadline as a fact without value."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return Fact(await question, source)
    except TimeoutError:
        return Fact(None, source, f"no answer within {timeout_seconds:g} s")
    except BackendError as error:
        return Fact(None, source, describe(error))


def describe(error: BackendError) -> str:
    """Why there is no answer, for people; an errno is replaced by words."""
    return "connection refused" if error.reason is Reason.REFUSED else f"{error.reason.value}: {error}"


async def asked(sources: FactSources, query: Query) -> Fact[bool]:
    """A PromQL query under the deadline."""
    answer = await bounded(query.promql, sources.timeout_seconds, sources.prometheus.query(query))
    return answer.value if answer.value is not None else Fact(None, query.promql, answer.problem)
