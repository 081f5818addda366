"""The comments of `grants` in its SQL."""

from __future__ import annotations

import pytest

from remediations.__main__ import main


@pytest.mark.parametrize(("given", "role"), [((), "postgres"), (("--product-role", "app"), "app")])
def test_role_whose_sessions_may_be_ended_is_named_with_the_option(
    capsys: pytest.CaptureFixture[str], given: tuple[str, ...], role: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["grants", *given])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f'Only sessions of role "{role}" can be ended' in out
    assert f"a.usename = '{role}'" in out
    assert "--product-role" in out
