"""The roles of the HTTP API, and which credential has which.

`approve` includes `operate`, which includes `read`; `deliver` stands alone, so that Alertmanager's credential can
neither look nor approve. Without the setting every credential delivers and reads, and none operates or approves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from enum import StrEnum
from pathlib import Path

from chassis.config import Section


class Role(StrEnum):
    """What a credential may do."""

    DELIVER = "deliver"
    """Send alerts."""
    READ = "read"
    """See remediations, pauses and acts; ask what would be decided."""
    OPERATE = "operate"
    """Pause, resume, reset a breaker."""
    APPROVE = "approve"
    """Approve or reject a plan."""


INCLUDED = {
    Role.DELIVER: frozenset({Role.DELIVER}),
    Role.READ: frozenset({Role.READ}),
    Role.OPERATE: frozenset({Role.OPERATE, Role.READ}),
    Role.APPROVE: frozenset({Role.APPROVE, Role.OPERATE, Role.READ}),
}
BY_DEFAULT = frozenset({Role.DELIVER, Role.READ})
"""What every credential may do without the setting."""


class HoldersSettings(Section):
    """The credentials that have one role."""

    token_files: tuple[Path, ...] = ()
    """Files with a bearer token each; the file's path is the name under which an act is recorded."""
    users: tuple[str, ...] = ()
    """Users of `server.web_config_file`."""
    certificates: tuple[str, ...] = ()
    """Subject alternative names of client certificates that `server.web_config_file` verifies. Such a certificate is a
    credential of its own for requests without an Authorization header."""

    def is_empty(self) -> bool:
        """Whether nobody has the role."""
        return not (self.token_files or self.users or self.certificates)


class RolesSettings(Section):
    """Which credentials have which role. One credential may stand in several."""

    deliver: HoldersSettings = HoldersSettings()
    """May send alerts, nothing else. The tokens of `server.token_file` and `server.more_token_files` always may."""
    read: HoldersSettings = HoldersSettings()
    """May look at everything, and ask what would be decided."""
    operate: HoldersSettings = HoldersSettings()
    """May also pause, resume and reset breakers."""
    approve: HoldersSettings = HoldersSettings()
    """May also approve and reject plans. Give it to persons, never to Alertmanager."""

    def holders(self) -> dict[Role, HoldersSettings]:
        """The credentials of each role."""
        return {role: getattr(self, role.value) for role in Role}

    def token_files(self) -> tuple[Path, ...]:
        """Every token file that stands in a role, each once."""
        return tuple(dict.fromkeys(path for held in self.holders().values() for path in held.token_files))


class Roles:
    """Tells which roles a credential has."""

    def __init__(self, settings: RolesSettings | None, delivering: tuple[Path, ...] = ()) -> None:
        """`delivering` are the token files that deliver whatever the setting says."""
        self._holders = None if settings is None else settings.holders()
        self._delivering = frozenset(delivering)

    @property
    def are_configured(self) -> bool:
        """Whether the setting is there."""
        return self._holders is not None

    def of_tokens(self, files: Iterable[Path]) -> frozenset[Role]:
        """The roles of the token that these files hold."""
        found = set(files)
        roles = self._having(lambda held: not found.isdisjoint(held.token_files))
        return roles if found.isdisjoint(self._delivering) else roles | {Role.DELIVER}

    def of_user(self, user: str) -> frozenset[Role]:
        """The roles of a user of the web configuration file."""
        return self._having(lambda held: user in held.users)

    def of_certificate(self, names: AbstractSet[str]) -> frozenset[Role]:
        """The roles of a certificate with these names."""
        return self._having(lambda held: not names.isdisjoint(held.certificates))

    def _having(self, has_role: Callable[[HoldersSettings], bool]) -> frozenset[Role]:
        """The roles, with those that they include, whose credentials fit."""
        if self._holders is None:
            return BY_DEFAULT
        return frozenset().union(*(INCLUDED[role] for role, held in self._holders.items() if has_role(held)))
