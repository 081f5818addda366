"""What collectors have learned and keep when a new configuration, or a pod that came or went, starts them anew."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")
MAX_KEPT = 10_000
"""Entries of one deployment; over it, those go first that were asked for longest ago. Names of pods that come and go
may be part of a key."""


class KeptState:
    """Lives as long as its deployment. An entry belongs to the collector that made it and is changed in place."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, object] = OrderedDict()

    def of(self, make: Callable[[], T], name: str, *key: Hashable) -> T:
        """The entry of this name and key; made at the first time.

        The key holds what the entry is true of (a bouncer, an address) and the settings that it was made with: with
        another key it begins anew.
        """
        place = (name, *key)
        if place not in self._entries:
            self._entries[place] = make()
        self._entries.move_to_end(place)
        while len(self._entries) > MAX_KEPT:
            self._entries.popitem(last=False)
        return cast("T", self._entries[place])
