"""Reads the repository's Markdown: links, headings and fenced commands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
COMMENT = re.compile(r"(^|  +)# .*$")
CODE = re.compile(r"(`+)(.+?)\1")
MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|[*`]")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a fenced `sh` block, with its continued lines."""

    place: str
    text: str

    @property
    def program(self) -> str:
        """The first word."""
        return self.text.split(maxsplit=1)[0]


def pages() -> list[Path]:
    """Every page that people read."""
    beside = [ROOT / "helm" / "controlcore-exporter" / "README.md", ROOT / "deploy" / "compose" / "README.md"]
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *beside]


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


def commands_of(page: Path) -> Iterator[Command]:
    """The commands of a page's `sh` blocks, in their order."""
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        if fence["language"] == "sh":
            place = f"{page.relative_to(ROOT)}:{text[: fence.start()].count(chr(10)) + 1}"
            yield from (Command(place, command) for command in _split(fence["text"]))


def _split(block: str) -> Iterator[str]:
    """Whole commands without their comments; a backslash or a pipe at the end, or an open quote, continues one."""
    command = ""
    for line in (COMMENT.sub("", each) for each in block.splitlines()):
        if not command and (not line.strip() or line.strip().startswith("#")):
            continue
        command = f"{command}\n{line}" if command else line.strip()
        if line.rstrip().endswith(("\\", "|")) or command.count("'") % 2 or command.count('"') % 2:
            continue
        yield command
        command = ""
    if command:
        yield command
