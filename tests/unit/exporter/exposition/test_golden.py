"""The reviewed pages themselves: a comparison that could write them would prove nothing."""

from __future__ import annotations

from tests.fakes.golden import WRITE_VARIABLE, read_golden


def test_different_page_is_not_equal_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(WRITE_VARIABLE, raising=False)
    path = tmp_path / "page.prom"
    path.write_text("reviewed\n")
    golden = read_golden(path)
    assert (golden == "other\n", "other\n" == golden, golden != "other\n") == (False, False, True)  # noqa: SIM300 - both ways
    assert "reviewed\n" == golden  # noqa: SIM300 - the way in which tests write it
    assert path.read_text() == "reviewed\n"


def test_page_is_written_only_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv(WRITE_VARIABLE, "1")
    path = tmp_path / "page.prom"
    assert "new\n" == read_golden(path)  # noqa: SIM300 - the way in which tests write it
    assert path.read_text() == "new\n"
