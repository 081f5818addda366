"""Our own two programs as servers: each a real process with a configuration file, on a free loopback port."""

from __future__ import annotations

import copy
import secrets
import sys
from pathlib import Path
from typing import Any

import yaml

from tools.servers.http import is_answered
from tools.servers.ports import free_port
from tools.servers.process import Command, Server

ROOT = Path(__file__).resolve().parents[2]


class Sidecar(Server):
    """Shared by both programs: settings as a mapping, written to a file, and a separate port."""

    def __init__(
        self, settings: dict[str, Any], folder: Path | None = None, host: str = "127.0.0.1", port: int | None = None
    ) -> None:
        """`settings` are those of the program; host and port are filled in, a free one unless given."""
        super().__init__(folder)
        self._settings = copy.deepcopy(settings)
        self._given_port = port
        self.host = host

    @property
    def url(self) -> str:
        """The program's address."""
        return f"http://{self.host}:{self.port}"

    @property
    def settings_path(self) -> Path:
        """The configuration file; change it and `stop`, `start`."""
        return self.folder / "settings.yaml"

    def prepare(self) -> None:
        """Writes the configuration."""
        self.port = self._given_port or free_port()
        self._settings["server"] = {**self._settings.get("server", {}), "host": self.host, "port": self.port}
        self._settings.setdefault("log", {"form": "json"})
        self.settings_path.write_text(yaml.safe_dump(self._settings, sort_keys=False), encoding="utf-8")
        self.settings_path.chmod(0o600)

    def is_ready(self) -> bool:
        """Whether the process answers; says nothing about its backends."""
        return is_answered(f"{self.url}/-/healthy")


class ExporterServer(Sidecar):
    """controlcore-exporter."""

    name = "exporter"

    def describe(self) -> Command:
        """The program from this checkout."""
        return Command(
            (sys.executable, "-m", "exporter", "--config.file", str(self.settings_path)), working_directory=ROOT
        )


class RemediatorServer(Sidecar):
    """controlcore-remediator with a policy file, a journal in its folder and a made-up token."""

    name = "remediator"

    def __init__(self, settings: dict[str, Any], policies: str, folder: Path | None = None, token: str = "") -> None:
        """`policies` is the text of the policy file."""
        super().__init__(settings, folder)
        self.policies = policies
        self.token = token or secrets.token_hex(16)

    @property
    def journal_path(self) -> Path:
        """The SQLite journal."""
        return self.folder / "journal.db"

    @property
    def token_path(self) -> Path:
        """The file that holds the bearer token, for Alertmanager's credentials_file too."""
        return self.folder / "token"

    @property
    def policies_path(self) -> Path:
        """The policy file, read again by a reload."""
        return self.folder / "policies.yaml"

    def prepare(self) -> None:
        """Writes token, policies and configuration."""
        self.token_path.write_text(self.token, encoding="utf-8")
        self.token_path.chmod(0o600)
        self.policies_path.write_text(self.policies, encoding="utf-8")
        self._settings["server"] = {**self._settings.get("server", {}), "token_file": str(self.token_path)}
        journal = {"path": str(self.journal_path), "is_ephemeral_accepted": True}
        self._settings["journal"] = {**journal, **self._settings.get("journal", {})}
        self._settings["policies_file"] = str(self.policies_path)
        super().prepare()

    def describe(self) -> Command:
        """The program from this checkout."""
        return Command(
            (sys.executable, "-m", "remediations", "serve", "--config.file", str(self.settings_path)),
            working_directory=ROOT,
        )
