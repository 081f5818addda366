"""`make bench`: prints every figure with its spread and whether each target holds; `--write FILE` keeps the same text.

`--only NAME` measures one section alone (several times for several); `--list` prints their names.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tools.bench.exporter import age, api_impact, bouncers, database, growth, memory, scrape, stopped_backends
from tools.bench.remediator import sections
from tools.bench.section import SOAK_MINUTES, Options, Section

SECTIONS: tuple[Section, ...] = (
    scrape.SECTION,
    growth.SECTION,
    stopped_backends.SECTION,
    bouncers.SECTION,
    age.SECTION,
    memory.SECTION,
    database.SECTION,
    api_impact.SECTION,
    *sections.SECTIONS,
)
FOREWORD = """Whether a target holds follows from the figures above it. Latencies are p50 / p99 (minimum to
maximum) of one run on one machine: quote ratios. CPU a scrape of ours leaves out collecting, which runs beside it; CPU
a minute holds both."""


def machine() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {kind}"


def measure_section(section: Section, options: Options) -> tuple[list[str], bool]:
    """The section's lines and whether it could be measured: one that fails leaves the others their figures."""
    started = time.monotonic()
    try:
        lines, is_measured = section.measure(options), True
    except Exception as error:  # noqa: BLE001 - the boundary of a section
        traceback.print_exc()
        first = (str(error).splitlines() or [""])[0]
        lines, is_measured = [f"Not measured: {type(error).__name__}, {first}"], False
    print(f"{section.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return [f"## {section.title}", "", *lines, ""], is_measured


def measure_all(sections: Sequence[Section], options: Options) -> tuple[str, bool]:
    """Everything as Markdown, printed as it comes, and whether all of it could be measured."""
    lines = ["# Benchmarks", "", f"Printed by `make bench`. Machine: {machine()}.", "", FOREWORD, ""]
    print("\n".join(lines), flush=True)
    is_whole = True
    for section in sections:
        further, is_measured = measure_section(section, options)
        print("\n".join(further), flush=True)
        lines += further
        is_whole = is_whole and is_measured
    return "\n".join(lines).rstrip() + "\n", is_whole


def choose(names: Sequence[str]) -> tuple[Section, ...]:
    """The sections with these names in their order, or all without a name; KeyError for an unknown name."""
    known = {section.name: section for section in SECTIONS}
    return tuple(known[name] for name in names) if names else SECTIONS


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes on request; 1 when a section could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--write", type=Path, help="write the same text to this file")
    parser.add_argument("--only", action="append", default=[], choices=[each.name for each in SECTIONS])
    parser.add_argument("--list", action="store_true", help="print the names of the sections")
    parser.add_argument("--soak-minutes", type=float, default=SOAK_MINUTES, help="how long memory is watched")
    arguments = parser.parse_args(argv)
    if arguments.list:
        print("\n".join(section.name for section in SECTIONS))
        return 0
    text, is_whole = measure_all(choose(arguments.only), Options(arguments.soak_minutes))
    if arguments.write is not None:
        arguments.write.write_text(text, encoding="utf-8")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
