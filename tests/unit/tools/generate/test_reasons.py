"""Every reason and every guard has its sentence, and the page equals the generated one."""

from __future__ import annotations

from remediations.core.decide import GUARDS
from remediations.core.model.reasons import EXPLANATIONS, HoldReason, Settled
from tests.fakes.golden import read_generated
from tools.generate.reasons import PAGE, render_reasons


def test_every_reason_has_one_sentence_and_something_to_do() -> None:
    assert list(EXPLANATIONS) == [*HoldReason, *Settled]
    for reason, (meaning, advice) in EXPLANATIONS.items():
        assert meaning.endswith("."), reason
        assert ". " not in meaning, reason
        assert advice.endswith("."), reason


def test_committed_page_is_what_the_code_says() -> None:
    assert read_generated(PAGE) == render_reasons()


def test_page_names_every_reason_and_guard() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [spec.name for spec in GUARDS if f"\n| `{spec.name}` | " not in page] == []
    assert [reason for reason in EXPLANATIONS if f"\n### `{reason}`\n" not in page] == []
