"""Start time, own pod, and how long the journal had been idle."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from chassis.clock import Clock
from chassis.log import get_logger
from remediations.core.model.errors import AlreadyServedError, JournalError
from remediations.core.model.facts import Fact, ProcessStart
from remediations.core.policies.policy import PolicySet
from remediations.journal.pauses import find_mismatch
from remediations.journal.port import Journal
from remediations.settings import JournalSettings

NAMESPACE_PATH = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where Kubernetes writes a pod's namespace ("Accessing the Kubernetes API from a Pod")."""


async def find_start(journal: Journal, clock: Clock) -> Fact[ProcessStart]:
    """The start of this process: its time, its pod, and how long the journal had been idle.

    Call it before the first write.
    """
    now = clock.now()
    last = await journal.last_entry_at()
    pod = await asyncio.to_thread(own_pod, NAMESPACE_PATH)
    return Fact(ProcessStart(now, None if last is None else max(0.0, now - last), pod), "journal", collected_at=now)


async def tell_unmatched_pauses(journal: Journal, policy_set: PolicySet, clock: Clock) -> None:
    """Logs the pauses in force without effect, because their policy was renamed or removed."""
    try:
        pauses = await journal.pauses(clock.now())
    except JournalError as error:
        get_logger().warning("pause.check_failed", problem=str(error))
        return
    for pause in pauses:
        if problem := find_mismatch(policy_set, pause):
            hint = "it has no effect: resume it, and pause the policy by its current name"
            get_logger().warning("pause.unmatched", name=pause.name, problem=problem, hint=hint)


async def release_orphaned_claims(journal: Journal, place: JournalSettings) -> None:
    """Takes over the claims of a killed process at once, without waiting for its leases.

    Raises JournalError if another live process serves the journal, unless the settings accept that.
    """
    try:
        ended = await journal.release_orphaned_claims()
    except AlreadyServedError as error:
        if not place.is_shared_accepted:
            advice = "stop it first, or give this program another journal.path"
            raise JournalError(f"{place.path}: {error}; {advice}") from error
        get_logger().warning("journal.shared", path=str(place.path), problem=str(error))
        return
    if ended:
        get_logger().info("journal.taken_over", claims=ended)


def own_pod(namespace_path: Path) -> str:
    """namespace/name of this process's pod; empty outside Kubernetes. Blocks on the disk.

    POD_NAMESPACE and POD_NAME win; otherwise the host name is used, which by default is the pod's name.
    """
    namespace = os.environ.get("POD_NAMESPACE", "")
    if not namespace:
        try:
            namespace = namespace_path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
    return f"{namespace}/{os.environ.get('POD_NAME') or socket.gethostname()}"
