"""How an action registers itself, and how it is found: one file here, no second edit.

A module `remediations/core/actions/NAME.py` defines one function decorated with `@action(...)`; policies know it by the
file's name. It is pure: from facts it returns a complete Plan, or the reason why there is none. Guards use only an
action's declared effects, never its name, so a new action is guarded by what it does.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from chassis.errors import InvariantBroken
from remediations.core.action import SPEC_ATTRIBUTE, ActionSpec


@cache
def discover(package: str = __name__) -> Mapping[str, ActionSpec]:
    """The actions of every module in the package, by name; raises InvariantBroken for a module without exactly one."""
    root = importlib.import_module(package)
    specs: dict[str, ActionSpec] = {}
    for entry in sorted(pkgutil.iter_modules(root.__path__), key=lambda item: item.name):
        module = importlib.import_module(f"{package}.{entry.name}")
        found = [getattr(value, SPEC_ATTRIBUTE, None) for value in vars(module).values()]
        own = [spec for spec in found if isinstance(spec, ActionSpec) and spec.name == entry.name]
        if len(own) != 1:
            raise InvariantBroken(f"{module.__name__} must define exactly one function decorated with @action")
        specs[entry.name] = own[0]
    return specs


def offered() -> Mapping[str, ActionSpec]:
    """The actions that a policy may name."""
    return {name: spec for name, spec in discover().items() if not spec.is_follow_up}
