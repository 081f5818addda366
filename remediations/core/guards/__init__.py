"""How a guard registers itself, and how it is found: one file here, no second edit.

A module `remediations/core/guards/NAME.py` defines functions decorated with `@guard(order=..., reasons={...})`. A guard
is pure and decides from its input; without a fact that it needs it answers Hold. Guards run in the order of their
numbers, and the first that does not pass decides. The numbers leave room: guards that are cheap, certain and final
(switched off, too old, not ours, not allowed) come before those that need facts.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from chassis.errors import InvariantBroken
from remediations.core.guard import SPEC_ATTRIBUTE, GuardSpec


@cache
def discover(package: str = __name__) -> tuple[GuardSpec, ...]:
    """The guards of every module in the package, in order.

    Raises InvariantBroken for a module without exactly one guard, and for two guards with the same place in the order.
    """
    root = importlib.import_module(package)
    specs: dict[int, GuardSpec] = {}
    for entry in pkgutil.iter_modules(root.__path__):
        module = importlib.import_module(f"{package}.{entry.name}")
        found = [getattr(value, SPEC_ATTRIBUTE, None) for value in vars(module).values()]
        own = [spec for spec in found if isinstance(spec, GuardSpec) and spec.name == entry.name]
        if len(own) != 1:
            raise InvariantBroken(f"{module.__name__} must define exactly one function decorated with @guard")
        if specs.setdefault(own[0].order, own[0]) is not own[0]:
            raise InvariantBroken(f"{entry.name} and {specs[own[0].order].name} have the same place in the order")
    return tuple(specs[order] for order in sorted(specs))
