"""The contract of every journal: an adapter's test file subclasses `JournalContract` and defines `open`."""

from __future__ import annotations

from tests.contract.journal_change import ChangeContract
from tests.contract.journal_claim import ClaimContract
from tests.contract.journal_delivery import DeliveryContract
from tests.contract.journal_question import QuestionContract


class JournalContract(DeliveryContract, ClaimContract, ChangeContract, QuestionContract):
    """The promises of `remediations/journal/port.py`, one test each."""
