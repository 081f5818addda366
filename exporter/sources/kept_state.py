"""State that collectors keep when a new configuration, or a new or removed pod, restarts them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")
MAX_KEPT = 10_000
"""Most entries of one deployment; the least recently used are dropped first, because keys may contain names of
short-lived pods.
"""


class KeptState:
    """Lives as long as its deployment. An entry belongs to the collector that made it and is changed in place."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, object] = OrderedDict()

    def of(self, make: Callable[[], T], name: str, *key: Hashable) -> T:
        """The entry of this name and key, created at first use.

        The key contains the entry's subject (a bouncer, an address) and its settings: another key starts a new entry.
        """
        place = (name, *key)
        if place not in self._entries:
            self._entries[place] = make()
        self._entries.move_to_end(place)
        while len(self._entries) > MAX_KEPT:
            self._entries.popitem(last=False)
        return cast("T", self._entries[place])
