"""The picture of the system is what its module draws, and no arrow or box leaves it."""

from __future__ import annotations

from tests.fakes.golden import read_generated
from tools.generate.system_picture import ARROWS, BOX_HEIGHT, BOXES, HEIGHT, PICTURE, WIDTH, draw


def test_picture_is_what_the_module_draws() -> None:
    assert read_generated(PICTURE) == draw()


def test_everything_lies_inside() -> None:
    corners = [(box.left + box.width, box.top + BOX_HEIGHT) for box in BOXES]
    points = [point for arrow in ARROWS for point in (arrow.begin, arrow.end, arrow.place)]

    assert [point for point in (*corners, *points) if not (0 <= point[0] <= WIDTH and 0 <= point[1] <= HEIGHT)] == []
    assert draw().count("marker-end") == len(ARROWS)
