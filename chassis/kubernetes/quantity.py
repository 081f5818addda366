"""Quantities of the Kubernetes API as numbers."""

from __future__ import annotations

import re
from decimal import Decimal

from chassis.errors import PermanentError, Reason

MAX_QUANTITY = 64
"""Characters of a quantity: the API server writes about twenty."""
QUANTITY = re.compile(
    r"([+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++))([eE][+-]?[0-9]{1,2})?(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)"
)
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
FACTORS = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


def parse_quantity(text: str) -> Decimal:
    """A Kubernetes quantity as a number of its base unit: `250m` is 0.25, `1Ki` is 1024, `12e6` is 12000000.

    Raises PermanentError(malformed) for anything else, including an exponent with a suffix.
    """
    found = QUANTITY.fullmatch(text) if len(text) <= MAX_QUANTITY else None
    if found is None or (found[2] and found[3]):
        raise PermanentError(Reason.MALFORMED, f"not a quantity: {text[:40]!r}")
    return Decimal(found[1] + (found[2] or "")) * FACTORS[found[3]]
