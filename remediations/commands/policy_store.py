"""The policies in force: read from their file at the start, and again on request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from chassis.documents import UnreadableError, read_file
from chassis.errors import ConfigError, Fault
from chassis.log import get_logger
from remediations.core.policies.policy import PolicySet
from remediations.core.policies.reader import parse_policies


def read_policies(path: Path) -> PolicySet:
    """The policy file; raises ConfigError with every fault. Blocks on the disk."""
    try:
        text = read_file(path)
    except UnreadableError as error:
        raise ConfigError((Fault("policies_file", str(error)),)) from error
    return parse_policies(text, str(path))


class PolicyStore:
    """Holds the policies in force, and replaces them when the file is read again without a fault."""

    def __init__(self, path: Path, policy_set: PolicySet) -> None:
        self._path = path
        self._policy_set = policy_set
        self._wanted = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        """Called after new policies have come into force; must not block."""
        self.note_reload: Callable[[tuple[str, ...]], Awaitable[None]] = _note_nothing
        """Called after each reload of the file with its faults; without faults it is in force."""

    def current(self) -> PolicySet:
        """The policies in force."""
        return self._policy_set

    def request_reload(self) -> None:
        """Requests a reload of the file; for SIGHUP."""
        self._wanted.set()

    async def follow(self) -> None:
        """Reads the file again at every request, until cancelled; a file with faults changes nothing."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                self._policy_set = await asyncio.to_thread(read_policies, self._path)
            except ConfigError as error:
                faults = tuple(str(fault) for fault in error.faults)
                get_logger().error("policies.refused", faults=list(faults))
            else:
                faults = ()
                get_logger().info("policies.reloaded", policies=len(self._policy_set.policies))
                self.on_change()
            await self.note_reload(faults)


async def _note_nothing(_faults: tuple[str, ...]) -> None:
    """Used if acts are not stored."""
