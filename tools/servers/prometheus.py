"""A real Prometheus of either generation on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.servers.http import add_query, call, is_answered
from tools.servers.ports import free_port
from tools.servers.process import Command, Server
from tools.servers.versions import Generation


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of an instant query; the labels include __name__ when the expression keeps it."""

    labels: dict[str, str]
    value: float


class PrometheusServer(Server):
    """One Prometheus; its configuration and rule files lie in its folder under the names given."""

    name = "prometheus"

    def __init__(
        self,
        files: dict[str, str] | Path,
        generation: Generation = Generation.PINNED,
        flags: tuple[str, ...] = (),
        folder: Path | None = None,
    ) -> None:
        """`files` are texts by file name, or a folder to copy; prometheus.yml among them is the configuration.

        Relative names inside prometheus.yml (rule_files, bearer_token_file, …) are relative to that folder.
        """
        super().__init__(folder)
        self._files = _read_folder(files) if isinstance(files, Path) else dict(files)
        self.generation = generation
        self._flags = flags

    @property
    def url(self) -> str:
        """The address of its web interface and API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def configuration_folder(self) -> Path:
        """Where the files are; change them and call `reload`."""
        return self.folder / "configuration"

    def prepare(self) -> None:
        """Writes the files."""
        self.port = free_port()
        self.write_files(self._files)

    def write_files(self, files: dict[str, str]) -> None:
        """Writes or replaces files beside prometheus.yml; they count after `reload`."""
        for name, text in files.items():
            path = self.configuration_folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def describe(self) -> Command:
        """The server with a short memory on one port."""
        return Command(
            (
                str(self.generation.locate("prometheus")),
                f"--config.file={self.configuration_folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                "--storage.tsdb.retention.time=6h",
                *(f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-lifecycle", "--log.level=info"),
                *self._flags,
            ),
            working_directory=self.folder,
            grace_seconds=5.0,
        )

    def is_ready(self) -> bool:
        """Whether /-/ready says so."""
        return is_answered(f"{self.url}/-/ready")

    def reload(self) -> None:
        """Reads the configuration again; HttpError with the fault when it is refused."""
        call("POST", f"{self.url}/-/reload")

    def query(self, expression: str, at_timestamp_seconds: float | None = None) -> list[Sample]:
        """The samples of an instant query, now or at a Unix time; HttpError when the expression is wrong."""
        parameters: dict[str, str | float] = {"query": expression}
        if at_timestamp_seconds is not None:
            parameters["time"] = at_timestamp_seconds
        data = self.read("query", **parameters)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(dict(entry["metric"]), float(entry["value"][1])) for entry in data["result"]]

    def value(self, expression: str) -> float | None:
        """The only sample's value; None when there is not exactly one."""
        samples = self.query(expression)
        return samples[0].value if len(samples) == 1 else None

    def alerts(self) -> list[dict[str, Any]]:
        """The pending and firing alerts (labels, annotations, state, activeAt, value)."""
        return list(self.read("alerts")["alerts"])

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self.alerts() if alert["state"] == "firing"}

    def targets(self) -> list[dict[str, Any]]:
        """The active targets (labels, scrapeUrl, health, lastError)."""
        return list(self.read("targets", state="active")["activeTargets"])

    def rules(self) -> list[dict[str, Any]]:
        """The rules of all groups (name, query, health, lastError, state)."""
        return [rule for group in self.read("rules")["groups"] for rule in group["rules"]]

    def read(self, path: str, **parameters: str | float) -> Any:
        """The `data` of any GET below /api/v1/."""
        return call("GET", add_query(f"{self.url}/api/v1/{path}", **parameters))["data"]


def _read_folder(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
