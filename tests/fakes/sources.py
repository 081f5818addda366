"""Sources of collectors that answer what a test lays down, at the ports of the adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from chassis.documents import DocumentError, ItemForm, ItemReader
from chassis.errors import PermanentError, Reason
from chassis.http.call import Call, Response
from chassis.postgres.address import PostgresAddress
from exporter.exposition.text_format import Renderer
from exporter.metrics import Family
from exporter.settings import ExporterSettings
from exporter.sources.sources import DatabaseHealth, Sources
from tests.fakes.clock import ManualClock
from tests.fakes.golden import Golden, read_golden

GOLDEN = Path(__file__).parents[1] / "unit" / "exporter" / "collectors" / "golden"


def expose(families: Iterable[Family]) -> str:
    """The families as a scrape would show them."""
    return Renderer().page(families).text().decode()


def golden(name: str) -> Golden:
    """The page that a collector must publish, reviewed by a person."""
    return read_golden(GOLDEN / f"{name}.prom")


def samples(families: Iterable[Family]) -> dict[str, dict[tuple[str, ...], float]]:
    """Plain samples by metric name and label values; a family without samples is not there."""
    return {
        family.metric.name: {sample.labels: sample.value for sample in family.samples}
        for family in families
        if family.samples
    }


def value(families: Iterable[Family], name: str, *labels: str) -> float | None:
    """One sample, or None when it is not published."""
    return samples(families).get(name, {}).get(labels)


def make_sources(settings: ExporterSettings | None = None, **parts: Any) -> Sources:
    """Sources with a manual clock and only the given configuration."""
    given = {"clock": ManualClock(), "http": FakeHttp({}), "database_health": DatabaseHealth()} | parts
    return Sources(settings=settings or ExporterSettings(), **given)


PIECE_BYTES = 64 * 1024


class FakeSql:
    """A PostgresSession whose answer to a statement is found by a part of its text."""

    def __init__(self, answers: Mapping[str, Sequence[Mapping[str, Any]] | Exception]) -> None:
        self.answers = dict(answers)
        self.asked: list[tuple[str, tuple[object, ...]]] = []

    async def fetch(self, sql: str, *arguments: object, timeout_seconds: float) -> Sequence[Any]:
        assert timeout_seconds > 0
        self.asked.append((sql, arguments))
        for part, answer in self.answers.items():
            if part in sql:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(f"no answer is laid down for {sql}")


class ItemSource:
    """Reads items as an HttpClient does, from what `send` answers."""

    async def send(self, call: Call) -> Response:
        raise NotImplementedError

    async def read_items(self, call: Call, take: Callable[[list[Any]], Awaitable[None]], form: ItemForm) -> None:
        """The items of the answer's body, read in pieces like those of a socket."""
        body = (await self.send(call)).require_ok().body
        if len(body) > call.max_bytes:
            raise PermanentError(Reason.MALFORMED, f"larger than {call.limit_setting}")
        try:
            reader = ItemReader(form)
            for start in range(0, len(body), PIECE_BYTES):
                await take(reader.feed(body[start : start + PIECE_BYTES]))
            await take(reader.feed(b"", is_last=True))
        except DocumentError as error:
            raise PermanentError(Reason.MALFORMED, str(error)) from error


class FakeHttp(ItemSource):
    """An HttpClient whose answer to a URL is a Response, an error to raise, or what a function makes of the call."""

    def __init__(self, answers: Mapping[str, Response | Exception | Callable[[Call], Response]]) -> None:
        self.answers = dict(answers)
        self.calls: list[Call] = []

    async def send(self, call: Call) -> Response:
        self.calls.append(call)
        answer = self.answers[call.url]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Response) else answer(call)


class FakeKubernetes:
    """A KubernetesClient over objects by path; what is not there is missing."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self.objects = dict(objects)
        self.selectors: dict[str, str | None] = {}

    async def get(self, path: str, *, timeout_seconds: float) -> Any:
        return self._find(path, timeout_seconds)

    async def list(self, path: str, *, timeout_seconds: float, label_selector: str | None = None) -> Any:
        self.selectors[path] = label_selector
        return self._find(path, timeout_seconds)

    def _find(self, path: str, timeout_seconds: float) -> Any:
        assert timeout_seconds > 0
        found = self.objects.get(path, PermanentError(Reason.MISSING, f"no {path}"))
        if isinstance(found, Exception):
            raise found
        return found


ADDRESS: Any = PostgresAddress(SecretStr("postgresql://ann@db/product"), password_file=Path("/run/password"))
