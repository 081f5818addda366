"""Hooks of MkDocs (`make docs`): the documentation site has the paths of the repository.

Pages link to files outside docs/ (README.md, rules, the chart), and their links must work in the repository too. So
each file of docs/ is moved below `docs/`, the linked files are added under their own paths, and no link is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
BESIDE = (
    "*.md",
    "tools/generate/docs_site.py",
    "helm/*/README.md",
    "helm/*/values.yaml",
    "helm/*/ci/*.yaml",
    "deploy/*/*.*",
    "rules/*.yml",
    "rules/examples/*.yml",
    "remediations/shipped/*.yaml",
    "remediations/shipped/*.json",
)
"""Files outside of docs/ that pages may link to."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of a folder in place of its name in the navigation."""
    config.nav = _expand(config.nav)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Gives each file the path that it has in the repository."""
    docs = Path(config.docs_dir)
    moved = Files([])
    for file in files:
        path = Path(file.abs_src_path or "")
        moved.append(_file(config, path) if path.is_relative_to(docs) else file)
    for path in sorted(path for pattern in BESIDE for path in ROOT.glob(pattern)):
        moved.append(_file(config, path))
    return moved


def _file(config: MkDocsConfig, path: Path) -> File:
    """A file of the repository."""
    return File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))


def _expand(nav: Any) -> Any:
    """The navigation with the pages of each folder; the page README.md is first."""
    if isinstance(nav, list):
        return [_expand(each) for each in nav]
    if isinstance(nav, dict):
        return {title: _expand(value) for title, value in nav.items()}
    return list(_pages(nav)) if nav.endswith("/") else nav


def _pages(folder: str) -> Iterator[str]:
    """The pages of a folder."""
    found = sorted((ROOT / folder).glob("*.md"), key=lambda path: (path.name != "README.md", path.name))
    yield from (path.relative_to(ROOT).as_posix() for path in found)
