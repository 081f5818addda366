"""Reads the repository's Markdown: links and headings."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
CODE = re.compile(r"(`+)(.+?)\1")
MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|[*`]")


def pages() -> list[Path]:
    """Every page that people read."""
    chart = ROOT / "helm" / "controlcore-exporter" / "README.md"
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), chart]


def links_of(text: str) -> list[str]:
    """Targets of all links that do not leave the repository."""
    return LINK.findall(CODE.sub("", FENCE.sub("", text)))


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    seen: Counter[str] = Counter()
    anchors = set()
    for title in HEADING.findall(FENCE.sub("", text)):
        plain = MARKUP.sub(lambda found: found[1] or "", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors
