"""Each dashboard has a rendering in the docs that is small and said to be no screenshot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashboards.src.build import PAGES

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs" / "images" / "dashboards"
MAX_BYTES = 150_000
LOCK = ROOT / "tools" / "pictures" / "package-lock.json"


@pytest.mark.parametrize("uid", [page.uid for page in PAGES])
def test_the_page_shows_a_small_rendering_of_each_dashboard(uid: str) -> None:
    """`make pictures` draws them."""
    picture = PICTURES / f"{uid}.png"
    assert f"](images/dashboards/{uid}.png)" in TEXT
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert 10_000 < picture.stat().st_size < MAX_BYTES


def test_the_page_says_that_they_are_renderings() -> None:
    assert "renderings, not screenshots of Grafana" in TEXT


def test_no_picture_is_left_over() -> None:
    assert {path.stem for path in PICTURES.iterdir()} == {page.uid for page in PAGES}


def test_the_lock_of_the_components_has_versions_and_hashes_and_no_addresses() -> None:
    """`make lock` resolves it."""
    text = LOCK.read_text(encoding="utf-8")
    packages = {name: found for name, found in json.loads(text)["packages"].items() if name}
    assert len(packages) > 100
    assert all(found["version"] and found["integrity"].startswith("sha512-") for found in packages.values())
    assert "://" not in text
