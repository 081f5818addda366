"""A real Alertmanager of either generation on loopback, alone or as a member of a cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tools.servers.http import call, is_answered
from tools.servers.ports import free_port
from tools.servers.process import Command, Server
from tools.servers.versions import Generation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class AlertmanagerServer(Server):
    """One Alertmanager with the configuration given."""

    name = "alertmanager"

    def __init__(
        self,
        configuration: str,
        generation: Generation = Generation.PINNED,
        peers: Sequence[AlertmanagerServer] = (),
        *,
        is_clustered: bool = False,
        flags: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        """With `is_clustered` or open `peers` it gossips on a separate port; otherwise it runs alone."""
        super().__init__(folder)
        self._flags = tuple(flags)
        self._configuration = configuration
        self.generation = generation
        self._peers = tuple(peers)
        self._is_clustered = is_clustered or bool(peers)

    @property
    def url(self) -> str:
        """The address of its web interface and API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cluster_address(self) -> str:
        """Where its peers find it."""
        return f"127.0.0.1:{self.cluster_port}"

    def prepare(self) -> None:
        """Writes alertmanager.yml."""
        self.port, self.cluster_port = free_port(), free_port()
        self.write_configuration(self._configuration)

    def write_configuration(self, configuration: str) -> None:
        """Replaces alertmanager.yml; it counts after `reload`."""
        (self.folder / "alertmanager.yml").write_text(configuration, encoding="utf-8")

    def describe(self) -> Command:
        """The server on one port, which gossips only on request."""
        address = self.cluster_address if self._is_clustered else ""
        return Command(
            (
                *(str(self.generation.locate("alertmanager")), f"--config.file={self.folder / 'alertmanager.yml'}"),
                *(f"--storage.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}"),
                *(f"--cluster.listen-address={address}", f"--web.external-url={self.url}", "--log.level=info"),
                *(f"--cluster.peer={peer.cluster_address}" for peer in self._peers),
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

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts it holds (labels, status.state, fingerprint, startsAt, endsAt, receivers)."""
        return list(call("GET", f"{self.url}/api/v2/alerts"))

    def post_alerts(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Sends alerts as Prometheus does: each with labels, and annotations, startsAt, endsAt at will."""
        call("POST", f"{self.url}/api/v2/alerts", list(alerts))

    def silence(self, duration_seconds: float = 3600.0, **labels: str) -> str:
        """Silences the alerts with these labels from now on; returns the silence's identifier."""
        now = datetime.now(UTC)
        answer = call(
            "POST",
            f"{self.url}/api/v2/silences",
            {
                "matchers": [
                    {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in labels.items()
                ],
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(seconds=duration_seconds)).isoformat(),
                "createdBy": "test",
                "comment": "test",
            },
        )
        return str(answer["silenceID"])

    def silences(self) -> list[dict[str, Any]]:
        """All silences, expired ones too."""
        return list(call("GET", f"{self.url}/api/v2/silences"))

    def expire_silence(self, identifier: str) -> None:
        """Ends a silence."""
        call("DELETE", f"{self.url}/api/v2/silence/{identifier}")

    def status(self) -> dict[str, Any]:
        """Its version, cluster and configuration."""
        return dict(call("GET", f"{self.url}/api/v2/status"))
