"""PostgreSQL with deadlines that hold even when the server is frozen."""
from __future__ import annotations
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from pydantic import SecretStr

@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a database is and who asks."""
    url: SecretStr
    password_file: Path | None = None
    application_name: str = "controlcore-exporter"

class PostgresSession:
    def __init__(self, address: PostgresAddress) -> None: ...
    async def fetch(self, sql: str, *arguments: object, timeout_seconds: float) -> Sequence[Any]: ...
    async def close(self) -> None: ...

async def probe(address: PostgresAddress, timeout_seconds: float) -> float: ...
