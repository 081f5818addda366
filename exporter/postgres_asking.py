"""Asks one view of PostgreSQL after the other; one that refuses leaves out its own values and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chassis.errors import BackendError, Reason, TransientError
from exporter.items import read_each
from exporter.postgres_views import Rows

if TYPE_CHECKING:
    from chassis.postgres.session import PostgresSession
    from exporter.catalogue import Family


@dataclass(frozen=True, slots=True)
class Question:
    """A query, its arguments, and what its rows mean."""

    sql: str
    read: Callable[[Rows], list[Family]]
    arguments: tuple[object, ...] = ()


PASSING_CLASS = "40"
"""Class of SQLSTATE: the transaction was rolled back (40001 serialization failure, also a conflict with recovery on a
standby; 40P01 deadlock). The same query may succeed at once (PostgreSQL documentation, appendix A)."""


async def ask(postgres: PostgresSession, question: Question, timeout_seconds: float) -> list[Family]:
    """What one query's rows mean; a query that was rolled back by chance is asked once more. Raises BackendError.

    Rows that cannot be read at all are counted as malformed, and nothing is said.
    """
    try:
        rows = await postgres.fetch(question.sql, *question.arguments, timeout_seconds=timeout_seconds)
    except BackendError as error:
        if not is_passing(error):
            raise
        rows = await postgres.fetch(question.sql, *question.arguments, timeout_seconds=timeout_seconds)
    return [family for families in read_each((rows,), question.read) for family in families]


def is_passing(error: BackendError) -> bool:
    """Whether the query was rolled back by chance."""
    return error.code[:2] == PASSING_CLASS


def is_final(error: BackendError) -> bool:
    """Whether the other views would fail in the same way: no connection, no login, no answer in time."""
    if is_passing(error):
        return False
    return not error.code or isinstance(error, TransientError) or error.reason in {Reason.AUTH, Reason.PROTOCOL}


async def ask_views(
    postgres: PostgresSession, questions: Iterable[Question], timeout_seconds: float
) -> tuple[list[Family], BackendError | None]:
    """The families of all views that answered, and the first failure.

    After a failure of the connection the others are not asked: they would not answer either, and each attempt with a
    wrong password counts as one where accounts are locked. Raises BackendError when nothing is known.
    """
    families: list[Family] = []
    failure: BackendError | None = None
    for question in questions:
        try:
            families += await ask(postgres, question, timeout_seconds)
        except BackendError as error:
            failure = failure or error
            if is_final(error):
                break
    if failure is not None and not families:
        raise failure
    return families, failure
