"""The man pages on the real groff, which is what man runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.generate.man_pages import FOLDER
from tools.install import packages


@pytest.mark.parametrize("page", sorted(FOLDER.iterdir()), ids=lambda page: page.stem)
def test_groff_reads_the_page_without_a_warning(page: Path) -> None:
    command = [str(packages.locate("groff")), "-man", "-Tutf8", "-P-cbou", "-ww", str(page)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "EXIT STATUS" in ended.stdout
