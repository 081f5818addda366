"""A policy's state in each environment, from its row. One rule for all collectors. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.collectors.labels import BOTH, ENVIRONMENTS
from exporter.items import member_of

STATUSES = ("enabled", "disabled", "draft", "archived")
SYNONYMS = {"active": "enabled"}
"""Other spellings from the product's policies-as-code interface."""
NOT_PROMOTED = "not-promoted"
"""The default of both columns: the policy does not belong to this environment by them."""
OVERRULING = ("disabled", "archived")
"""PUT /policies/{id} sets only `status`: a policy that is switched off as a whole is enabled nowhere."""


def states_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The status in each environment that the policy belongs to, as a label value of a closed set.

    It belongs to an environment by that environment's own status, else by `environment` (`both` is each of the two),
    and then its `status` counts. A policy that belongs to no environment is left out.
    """
    status = row["status"]
    states: dict[str, str] = {}
    for environment in ENVIRONMENTS:
        own = row[f"{environment}_status"]
        if own is None or own == NOT_PROMOTED:
            if row["environment"] not in {environment, BOTH}:
                continue
            own = status
        states[environment] = status_label(status if status in OVERRULING else own)
    return states


def status_label(status: object) -> str:
    """The status as a label value of a closed set."""
    word = SYNONYMS.get(status, status) if isinstance(status, str) else status
    return member_of(word, STATUSES, "policies.status")
