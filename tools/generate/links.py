"""Writes the addresses of the runbooks and of Grafana in front of the links of rule files and dashboards.

`python3 -m tools.generate.links [--runbooks URL] [--grafana URL] [FOLDER …]`; runs on the standard library alone. The
default addresses are those of `[tool.controlcore.links]` in pyproject.toml. They are empty while this repository has no
public address, and the links are then relative: a path in this repository, and a path of your Grafana. Running it twice
changes nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "rules", ROOT / "dashboards")
PAGES = "docs/runbooks"
_BASE = re.compile(r"https?://[^\s\"'{}]+|")


@dataclass(frozen=True, slots=True)
class Links:
    """Two addresses; an empty one leaves the links relative."""

    runbooks: str
    """Where this repository's `docs/` lies."""
    grafana: str

    def runbook(self, page: str = "") -> str:
        """The link to a page of the runbooks, without a page to all of them."""
        path = f"{PAGES}/{page}" if page else PAGES
        return f"{self.runbooks.rstrip('/')}/{path}" if self.runbooks else path

    def dashboard(self, uid: str) -> str:
        """The link to a dashboard."""
        return f"{self.grafana.rstrip('/')}/d/{uid}"

    def write(self, text: str) -> str:
        """A rule file or dashboard with these addresses instead of its own."""
        text = re.sub(
            rf"(?m)^( *runbook_url: ).*?{PAGES}/(\w+\.md)$", lambda found: found[1] + self.runbook(found[2]), text
        )
        text = re.sub(
            r"(?m)^( *dashboard_url: ).*?/d/([\w-]+)$", lambda found: found[1] + self.dashboard(found[2]), text
        )
        return re.sub(rf'(?<=")[^"\s]*?{PAGES}(?=")', self.runbook(), text)


def read_links() -> Links:
    """The addresses that pyproject.toml gives."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return Links(**tomllib.load(file)["tool"]["controlcore"]["links"])


def main(arguments: Sequence[str]) -> None:
    """Writes the files."""
    default = read_links()
    parser = argparse.ArgumentParser(prog="python3 -m tools.generate.links", description="Makes links absolute.")
    parser.add_argument(
        "--runbooks", default=default.runbooks, metavar="URL", help="where this repository's docs/ lies"
    )
    parser.add_argument("--grafana", default=default.grafana, metavar="URL", help="your Grafana")
    parser.add_argument("folders", nargs="*", type=Path, default=FOLDERS, metavar="FOLDER", help="rules and dashboards")
    given = parser.parse_args(arguments)
    for name in ("runbooks", "grafana"):
        if not _BASE.fullmatch(getattr(given, name)):
            parser.error(
                f"--{name}: {getattr(given, name)!r} is not an address; write https://HOST or https://HOST/PATH"
            )
    links = Links(given.runbooks, given.grafana)
    paths = sorted(path for folder in given.folders for ending in ("*.yml", "*.json") for path in folder.glob(ending))
    changed = [path for path in paths if _rewrite(path, links)]
    print(
        f"{len(changed)} of {len(paths)} files changed in {', '.join(map(str, given.folders))}: "
        f"runbooks are {links.runbook()}, dashboards {links.dashboard('UID')}"
    )


def _rewrite(path: Path, links: Links) -> bool:
    """Writes the links into one file; whether that changed it."""
    before = path.read_text(encoding="utf-8")
    after = links.write(before)
    path.write_text(after, encoding="utf-8")
    return after != before


if __name__ == "__main__":
    main(sys.argv[1:])
