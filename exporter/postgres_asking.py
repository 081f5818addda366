"""Asks one view of PostgreSQL after the other; one that refuses leaves out its own values and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chassis.errors import BackendError, TransientError
from exporter.postgres_views import Rows

if TYPE_CHECKING:
    from chassis.postgres import PostgresSession
    from exporter.catalogue import Family


@dataclass(frozen=True, slots=True)
class Question:
    """A query, its arguments, and what its rows mean."""

    sql: str
    read: Callable[[Rows], list[Family]]
    arguments: tuple[object, ...] = ()


async def ask_views(
    postgres: PostgresSession, questions: Iterable[Question], timeout_seconds: float
) -> tuple[list[Family], BackendError | None]:
    """The families of all views that answered, and the first failure.

    After a TransientError the others are not asked: they would not answer. Raises BackendError when nothing is known.
    """
    families: list[Family] = []
    failure: BackendError | None = None
    for question in questions:
        try:
            rows = await postgres.fetch(question.sql, *question.arguments, timeout_seconds=timeout_seconds)
        except BackendError as error:
            failure = failure or error
            if isinstance(error, TransientError):
                break
        else:
            families += question.read(rows)
    if failure is not None and not families:
        raise failure
    return families, failure
