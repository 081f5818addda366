"""`python -m tools.generate.system_picture`: draws docs/images/system.svg, the way from a fault to its repair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "system.svg"
WIDTH, HEIGHT = 900, 440
BOX_HEIGHT = 64
OURS, THEIRS = ("#dcebdc", "#4c8a4c"), ("#eef3fb", "#5b7db1")
"""Fill and border of our programs, and of all others."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the picture; the notes are its second line."""

    left: int
    top: int
    width: int
    name: str
    note: str
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Arrow:
    """A straight line from one point to another, with a text beside its middle."""

    begin: tuple[int, int]
    end: tuple[int, int]
    text: str
    place: tuple[int, int]
    """Where the text begins."""
    is_write: bool = False


BOXES = (
    Box(30, 60, 220, "controlcore-exporter", "reads, never writes", is_ours=True),
    Box(340, 60, 220, "Prometheus", "evaluates rules"),
    Box(650, 60, 220, "Alertmanager", "routes, silences"),
    Box(650, 200, 220, "people on call", "pages, approvals, pauses"),
    Box(340, 200, 220, "controlcore-remediator", "decides, acts once, verifies", is_ours=True),
    Box(30, 340, 220, "Control Core", "API, bouncers, OPAL, OPA"),
    Box(340, 340, 220, "Kubernetes API server", "Deployments, pods, CronJobs"),
    Box(650, 340, 220, "PostgreSQL, Redis", "never restarted"),
)
ARROWS = (
    Arrow((340, 92), (250, 92), "scrape", (275, 84)),
    Arrow((560, 92), (650, 92), "alerts", (587, 84)),
    Arrow((760, 124), (760, 200), "notifications", (768, 166)),
    Arrow((690, 124), (545, 200), "webhook", (640, 166)),
    Arrow((450, 200), (450, 124), "fresh data", (458, 166)),
    Arrow((650, 232), (560, 232), "approve", (580, 224)),
    Arrow((140, 124), (140, 322), "reads everything", (148, 228)),
    Arrow((390, 264), (230, 340), "update policies, clear cache", (150, 292), is_write=True),
    Arrow((450, 264), (450, 340), "PATCH, evict", (458, 310), is_write=True),
    Arrow((510, 264), (670, 340), "end idle sessions", (612, 296), is_write=True),
)


def draw() -> str:
    """The picture."""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        "<defs>",
        _head_of_arrow("read", "#333"),
        _head_of_arrow("write", "#b03030"),
        "</defs>",
        f'<text x="30" y="32" font-size="18" font-weight="bold">{escape("From a fault to a verified repair")}</text>',
        f'<text x="{WIDTH - 30}" y="32" font-size="12" text-anchor="end">red: writes, only what a policy allows</text>',
    ]
    frame = '<rect x="16" y="322" width="868" height="104" rx="8" fill="none" stroke="#999" stroke-dasharray="6 4"/>'
    label = '<text x="450" y="420" font-size="12" text-anchor="middle" fill="#333">the installation</text>'
    return "\n".join(
        [*head, frame, label, *(line for box in BOXES for line in _box(box)), *map(_arrow, ARROWS), "</svg>", ""]
    )


def _head_of_arrow(name: str, colour: str) -> str:
    """The point at the end of a line."""
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
    )


def _box(box: Box) -> Iterator[str]:
    fill, border = OURS if box.is_ours else THEIRS
    middle = box.left + box.width // 2
    frame = f'x="{box.left}" y="{box.top}" width="{box.width}" height="{BOX_HEIGHT}" rx="6"'
    yield f'<rect {frame} fill="{fill}" stroke="{border}"/>'
    for below, size, weight, text in ((27, 14, "bold", box.name), (48, 12, "normal", box.note)):
        place = f'x="{middle}" y="{box.top + below}" text-anchor="middle"'
        yield f'<text {place} font-size="{size}" font-weight="{weight}">{escape(text)}</text>'


def _arrow(arrow: Arrow) -> str:
    name, colour = ("write", "#b03030") if arrow.is_write else ("read", "#333")
    (x, y), (to_x, to_y), (text_x, text_y) = arrow.begin, arrow.end, arrow.place
    return (
        f'<path d="M{x} {y} L{to_x} {to_y}" stroke="{colour}" stroke-width="1.5" marker-end="url(#{name})"/>'
        f'<text x="{text_x}" y="{text_y}" font-size="12" fill="{colour}">{escape(arrow.text)}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
