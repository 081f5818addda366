"""The roles of the HTTP API, and the credentials of each.

`approve` includes `operate`, which includes `read`; `deliver` is separate, so that Alertmanager's credential can
neither read nor approve. Without the setting every credential may deliver and read, and none may operate or approve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from remediations.settings import HoldersSettings, Role, RolesSettings

INCLUDED = {
    Role.DELIVER: frozenset({Role.DELIVER}),
    Role.READ: frozenset({Role.READ}),
    Role.OPERATE: frozenset({Role.OPERATE, Role.READ}),
    Role.APPROVE: frozenset({Role.APPROVE, Role.OPERATE, Role.READ}),
}
BY_DEFAULT = frozenset({Role.DELIVER, Role.READ})
"""The roles of every credential without the setting."""


class Roles:
    """Finds the roles of a credential."""

    def __init__(self, settings: RolesSettings | None, delivering: tuple[Path, ...] = ()) -> None:
        """`delivering` are the token files that may always deliver."""
        self._holders = None if settings is None else settings.holders()
        self._delivering = frozenset(delivering)

    @property
    def are_configured(self) -> bool:
        """Whether roles are configured."""
        return self._holders is not None

    def of_tokens(self, files: Iterable[Path]) -> frozenset[Role]:
        """The roles of the token in these files."""
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
        """The matching roles, with the roles that they include."""
        if self._holders is None:
            return BY_DEFAULT
        return frozenset().union(*(INCLUDED[role] for role, held in self._holders.items() if has_role(held)))
