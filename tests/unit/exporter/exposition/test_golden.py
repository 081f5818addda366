"""The reviewed pages themselves: a comparison that could write them would prove nothing."""

from __future__ import annotations

from tests.fakes.golden import ROOT, WRITE_VARIABLE, explain, read_generated, read_golden


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


def test_failure_names_the_file_the_command_and_the_difference():
    page, test = ROOT / "docs" / "metrics.md", "tests/unit/x.py::test_y"
    head, command, *difference = explain("other\n", read_generated(page), test)
    assert head == "docs/metrics.md is out of date; write it with:"
    assert command.strip() == "make generate"
    assert "+other" in difference
    _, command, *_ = explain(read_golden(page), "other\n", test)
    assert command.split("#")[0].split() == [
        f"{WRITE_VARIABLE}=1",
        ".venv/bin/python",
        "-m",
        "pytest",
        "-q",
        f"'{test}'",
    ]


def test_other_comparisons_are_left_to_pytest(tmp_path):
    assert explain("a", "b", "t") is None
    assert explain(read_golden(tmp_path / "absent"), 5, "t") is None
