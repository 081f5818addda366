"""`python -m tools.pictures --prometheus URL`: draws each dashboard into docs/images/dashboards/NAME.png."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dashboards.src.build import FOLDER as DASHBOARDS
from tools.pictures.answers import Span, answer
from tools.pictures.browser import PictureError, draw

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images" / "dashboards"


def draw_all(url: str, began: float, folder: Path = FOLDER) -> list[Path]:
    """Draws every committed dashboard as it shows the time since `began`; returns the files."""
    span = Span(url, began, time.time())
    drawn = []
    for source in sorted(DASHBOARDS.glob("*.json")):
        path = folder / f"{source.stem}.png"
        draw(answer(json.loads(source.read_text(encoding="utf-8")), span), path)
        drawn.append(path)
    return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__)
    parser.add_argument("--prometheus", required=True, metavar="URL", help="a Prometheus that scrapes both programs")
    parser.add_argument("--minutes", type=float, default=10.0, help="how much is shown, up to now (default 10)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    chosen = parser.parse_args(arguments)
    try:
        for path in draw_all(chosen.prometheus, time.time() - 60 * chosen.minutes, chosen.folder):
            print(f"{path}  {path.stat().st_size // 1000} kB")
    except PictureError as error:
        print(f"tools.pictures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
