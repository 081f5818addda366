"""How collectors are found: one file in a folder here, no second edit.

A module `exporter/collectors/FOLDER/NAME.py` defines one class decorated with `@collector(...)`, registered under the
file's name. The decorator only attaches a frozen `CollectorSpec`; `discover()` imports the modules of all
folders and gathers the specs.
"""

from __future__ import annotations

import importlib
import pkgutil

from chassis.errors import InvariantBroken
from exporter.collector import CollectorSpec, specs_in


def discover(package: str = __name__) -> tuple[CollectorSpec, ...]:
    """The specs of every module in the package and its folders, by name of the module.

    Modules without a spec are the collectors' helpers. Raises InvariantBroken when two collectors declare one metric.
    """
    root = importlib.import_module(package)
    names = [entry.name for entry in pkgutil.walk_packages(root.__path__, f"{package}.") if not entry.ispkg]
    specs: list[CollectorSpec] = []
    for name in sorted(names, key=lambda name: name.rpartition(".")[2]):
        specs += specs_in(importlib.import_module(name))
    owners: dict[str, str] = {}
    for spec in specs:
        for metric in spec.metrics:
            if owners.setdefault(metric.name, spec.name) != spec.name:
                raise InvariantBroken(f"{metric.name} is declared by {owners[metric.name]} and by {spec.name}")
    return tuple(specs)
