"""Runs an unpacked image with runc, the runtime below docker and Kubernetes, under the rules of a hardened pod."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

UID, GID = 1000660000, 0
"""A user as OpenShift chooses it: unknown to the image, in group 0."""
START_SECONDS = STOP_SECONDS = EXEC_SECONDS = 20.0
POLL_SECONDS = 0.2
DEVICES = ["nosuid", "strictatime", "mode=755", "size=65536k"]
SPACES = ("pid", "network", "ipc", "uts", "mount")


@dataclass(slots=True)
class Container:
    """One container: a root that cannot be written, no capability, no new privileges, a network of its own.

    `folders` are folders of this machine by their place inside, which can be read, and one of which may be written.
    """

    root: Path
    home: Path
    command: Sequence[str]
    environment: Sequence[str]
    folders: Mapping[str, Path] = field(default_factory=dict)
    writable: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True)
        (self.home / "config.json").write_text(json.dumps(self.specification()), encoding="utf-8")
        with (self.home / "log").open("wb") as log:
            command = [*self._runc(), "run", "--bundle", str(self.home), self.home.name]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run([*self._runc(), "delete", "--force", self.home.name], capture_output=True, check=False)
        if self.process is not None:
            self.process.wait(scaled(STOP_SECONDS))

    def specification(self) -> dict[str, object]:
        """The bundle's config.json (OCI runtime specification)."""
        nothing: dict[str, list[str]] = {
            kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
        }
        mounts: list[dict[str, object]] = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": DEVICES},
        ]
        for place, folder in self.folders.items():
            right = "rw" if place == self.writable else "ro"
            mounts.append(
                {"destination": place, "type": "bind", "source": str(folder), "options": ["bind", right, "nosuid"]}
            )
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": UID, "gid": GID},
                "args": list(self.command),
                "env": list(self.environment),
                "cwd": "/",
                "capabilities": nothing,
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.root), "readonly": True},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": space} for space in SPACES]},
        }

    def check(self, command: Sequence[str]) -> tuple[int, str]:
        """Runs one more command inside, as a health check does; its status and what it prints."""
        words = [word for line in self.environment for word in ("--env", line)]
        answer = subprocess.run(
            [*self._runc(), "exec", *words, self.home.name, *command],
            capture_output=True,
            text=True,
            timeout=scaled(EXEC_SECONDS),
            check=False,
        )
        return answer.returncode, (answer.stdout + answer.stderr).strip()

    def wait_until(self, command: Sequence[str], status: int) -> tuple[int, str]:
        """Asks again until the command ends with this status, the program ends or the time is over; the last answer."""
        end = time.monotonic() + scaled(START_SECONDS)
        answer = self.check(command)
        while answer[0] != status and time.monotonic() < end:
            if self.process is None or self.process.poll() is not None:
                return answer[0], f"the program has ended: {self.read_log().strip()}"
            time.sleep(POLL_SECONDS)
            answer = self.check(command)
        return answer

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the program."""
        subprocess.run([*self._runc(), "kill", self.home.name, number.name], capture_output=True, check=True)

    def stop(self) -> int:
        """Ends the program as an engine does; its exit status."""
        self.send(signal.SIGTERM)
        if self.process is None:
            raise RuntimeError("the container was not started")
        return self.process.wait(scaled(STOP_SECONDS))

    def read_rights(self) -> dict[str, str]:
        """Its user, capabilities and the like as the kernel tells them (proc_pid_status(5))."""
        state = subprocess.run([*self._runc(), "state", self.home.name], capture_output=True, text=True, check=True)
        status = Path(f"/proc/{json.loads(state.stdout)['pid']}/status").read_text(encoding="utf-8")
        return {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}

    def read_log(self) -> str:
        """What the program printed so far."""
        return (self.home / "log").read_text(encoding="utf-8", errors="replace")

    def _runc(self) -> list[str]:
        return ["runc", "--root", str(self.home.parent / "runc")]
