"""The folder of the tutorial's stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.tutorial import clear_folder
from tools.install.compiler import ToolError


def test_folder_with_anything_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear", encoding="utf-8")
    with pytest.raises(ToolError, match="is not empty"):
        clear_folder(tmp_path)
    assert (tmp_path / "letter").read_text(encoding="utf-8") == "dear"


def test_new_and_empty_folders_and_those_of_an_earlier_stage_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "stage"
    clear_folder(folder)
    (folder / "journal.db").write_text("", encoding="utf-8")
    clear_folder(folder)
    assert not (folder / "journal.db").exists()
    (empty := tmp_path / "empty").mkdir()
    clear_folder(empty)
