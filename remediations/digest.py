"""Names a plan by what it would do, so that an approval is for this plan and no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from remediations import plan as plans
from remediations.decision import Plan

VERSION_KEY = "resourceVersion"


def plan_hash(plan: Plan) -> str:
    """SHA-256 (hexadecimal) of everything in the plan but resourceVersions, which an approval names apart."""
    text = json.dumps(_without_versions(plans.to_data(plan)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def resource_version(plan: Plan) -> str:
    """The resourceVersions that the plan's writes presume, joined by commas; empty when they presume none."""
    return ",".join(_versions(plans.to_data(plan)))


def _without_versions(value: Any) -> Any:
    """The value without the keys named resourceVersion."""
    if isinstance(value, Mapping):
        return {name: _without_versions(item) for name, item in value.items() if name != VERSION_KEY}
    if isinstance(value, list):
        return [_without_versions(item) for item in value]
    return value


def _versions(value: Any) -> list[str]:
    """Every resourceVersion in the value, in order."""
    if isinstance(value, Mapping):
        own = [str(value[VERSION_KEY])] if VERSION_KEY in value else []
        return own + [found for item in value.values() for found in _versions(item)]
    if isinstance(value, list):
        return [found for item in value for found in _versions(item)]
    return []
