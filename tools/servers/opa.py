"""A real Open Policy Agent on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.install.build import locate
from tools.servers.http import call, is_answered
from tools.servers.ports import free_port
from tools.servers.process import Command, Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class OpaServer(Server):
    """One policy engine; policies and data are put into it while it runs and are gone after a restart."""

    name = "opa"

    def __init__(self, policies: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
        """`policies` are Rego texts by name, there from every start on."""
        super().__init__(folder)
        self._policies = dict(policies or {})

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Writes the policies into files that the server loads."""
        self.port = free_port()
        self._policy_folder = self.folder / "policies"
        self._policy_folder.mkdir()
        for name, text in self._policies.items():
            (self._policy_folder / f"{name}.rego").write_text(text, encoding="utf-8")

    def describe(self) -> Command:
        """The server without its check for newer versions."""
        return Command(
            (
                *(str(locate("opa")), "run", "--server", f"--addr=127.0.0.1:{self.port}", "--disable-telemetry"),
                *("--log-level=error", str(self._policy_folder)),
            ),
            working_directory=self.folder,
            environment={"HOME": str(self.folder)},
            grace_seconds=3.0,
        )

    def is_ready(self) -> bool:
        """Whether /health says so."""
        return is_answered(f"{self.url}/health")

    def put_policy(self, name: str, rego: str) -> None:
        """Adds or replaces a policy; HttpError with the compiler's words when it is wrong."""
        call("PUT", f"{self.url}/v1/policies/{name}", text=rego)

    def delete_policy(self, name: str) -> None:
        """Removes a policy."""
        call("DELETE", f"{self.url}/v1/policies/{name}")

    def put_data(self, path: str, value: object) -> None:
        """Replaces a document below /v1/data/."""
        call("PUT", f"{self.url}/v1/data/{path}", value)

    def evaluate(self, path: str, given: object = None) -> Any:
        """The value of a rule for an input; None when it is undefined."""
        return call("POST", f"{self.url}/v1/data/{path}", {"input": given}).get("result")
