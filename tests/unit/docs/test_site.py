"""The documentation site builds without a warning, loads nothing from elsewhere, and shows what the repository does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from markdown import Markdown
from markdown_it import MarkdownIt
from mkdocs.config import load_config

from tests.fakes.markdown import ROOT, pages
from tools.slowness import scaled

CONFIG = load_config(str(ROOT / "mkdocs.yml"))
PART = re.compile(r"<(ol|ul|li|table|tr|td|pre|h[1-6]|blockquote|strong|img)\b")
"""Not `p`: Python-Markdown puts two code blocks without an empty line between them into one."""
LOADED = re.compile(r"<(?:script|img|link)\b[^>]*\b(?:src|href)=\"?(https?:)?//[^>]*>")

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; with `--quiet` warnings would not count."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=scaled(30)
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def test_every_page_is_built_and_every_link_leads_somewhere(site: Path) -> None:
    """MkDocs itself is strict about links, headings and pages outside of the navigation."""
    built = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    wanted = {page.relative_to(ROOT).with_suffix("").as_posix() for page in pages()}

    assert {name.removesuffix("/README").removesuffix("README") or "." for name in wanted} == built
    assert CONFIG.strict is True


def test_files_beside_the_pages_are_in_the_site(site: Path) -> None:
    for name in ("docs/examples/exporter.yaml", "remediations/shipped/policies.yaml", "docs/images/core.svg"):
        assert (site / name).read_bytes() == (ROOT / name).read_bytes()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}

    assert texts
    assert {found[0] for text in texts.values() for found in LOADED.finditer(text)} == set()
    assert CONFIG.theme["font"] is False


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_site_shows_what_the_repository_shows(page: Path) -> None:
    """Python-Markdown needs an empty line before a list, and four columns of indentation inside an item."""
    text = page.read_text(encoding="utf-8")
    repository = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    site = Markdown(extensions=CONFIG.markdown_extensions, extension_configs=CONFIG.mdx_configs).convert(text)

    assert Counter(PART.findall(site)) == Counter(PART.findall(repository))
