"""How guards are found: a function here, no second edit.

A module here defines functions decorated with `@guard(order=..., reasons={...})`. A guard is pure and decides from its
input; if a fact that it needs is missing, it answers Hold. Guards run in the order of their numbers, and the first that
does not pass decides. There are gaps between the numbers. Guards with a cheap, certain and final answer (switched off,
too old, not ours, not allowed) come before those that need facts.
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

    Raises InvariantBroken for a module without a guard, and for two guards with the same name or order.
    """
    root = importlib.import_module(package)
    specs: dict[int, GuardSpec] = {}
    names: set[str] = set()
    for entry in pkgutil.iter_modules(root.__path__):
        module = importlib.import_module(f"{package}.{entry.name}")
        found = [getattr(value, SPEC_ATTRIBUTE, None) for value in vars(module).values()]
        own = [spec for spec in found if isinstance(spec, GuardSpec) and spec.function.__module__ == module.__name__]
        if not own:
            raise InvariantBroken(f"{module.__name__} must define a function decorated with @guard")
        for spec in own:
            if spec.name in names:
                raise InvariantBroken(f"two guards are called {spec.name}")
            if spec.order in specs:
                raise InvariantBroken(f"{spec.name} and {specs[spec.order].name} have the same order")
            specs[spec.order] = spec
            names.add(spec.name)
    return tuple(specs[order] for order in sorted(specs))
