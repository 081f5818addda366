"""`python -m tools.generate.house`: the figures of the house, and a picture of each program from its import contract.

The figures: entries of the largest folder, circles of imports, short files, class names defined twice, and functions of
the remediator with meaningless names. `--write` redraws docs/images/*.svg; a test checks both.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("chassis", "exporter", "remediations")
SOURCES = (*PACKAGES, "tools", "demo", "dashboards/src")
"""Folders of Python that are counted; pages, charts and locks are lists, and may be long."""
PICTURES = ROOT / "docs" / "images"
MAX_ENTRIES = 14
SHORT_LINES = 60
SAYS_NOTHING = frozenset({"check", "look", "ask", "note", "keep"})
PLUG_INS = ("exporter/collectors/", "remediations/core/actions/")
WIDTH, ROW, GAP, BOX = 760, 46, 14, 30
MIN_NOTE = 20
"""Characters; a shorter piece of a sentence says nothing."""


def modules() -> dict[str, Path]:
    """Every module of the three packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def largest_folders(number: int = 3) -> list[tuple[int, str]]:
    """The folders with the most entries, files and folders together."""
    folders = [path for name in SOURCES for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_dir()]
    counted = [
        (len([entry for entry in folder.iterdir() if entry.name != "__pycache__"]), str(folder.relative_to(ROOT)))
        for folder in folders
        if folder.name != "__pycache__"
    ]
    return sorted(counted, reverse=True)[:number]


def imports_of(path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules of ours that a file imports when it is loaded, annotations' imports left out."""
    found = set()
    for node in _loaded(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(known)


def _loaded(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements at the top of a module, without those under TYPE_CHECKING."""
    for node in body:
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                yield from _loaded(node.body)
        else:
            yield node


def circles(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Groups of nodes that reach each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group: list[str] = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(tuple(sorted(group)))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def file_circles() -> list[tuple[str, ...]]:
    """Circles of imports between files."""
    known = modules()
    return circles({name: imports_of(path, known) - {name} for name, path in known.items()})


def folder_circles() -> list[tuple[str, ...]]:
    """Circles of imports between the rooms: the entries of one folder, seen as wholes."""
    known = modules()
    found = []
    for package in PACKAGES:
        graph: dict[str, set[str]] = defaultdict(set)
        for name, path in known.items():
            if not name.startswith(f"{package}."):
                continue
            room = name.split(".")[1]
            rooms = {each.split(".")[1] for each in imports_of(path, known) if each.startswith(f"{package}.")}
            graph[room] |= rooms - {room}
        found += [tuple(f"{package}.{room}" for room in group) for group in circles(graph)]
    return found


def definitions() -> dict[str, list[str]]:
    """Where each class name is defined, leading underscores aside; nested classes count."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(name)
    return dict(found)


def defined_twice() -> dict[str, list[str]]:
    """Class names with more than one definition."""
    return {name: places for name, places in definitions().items() if len(places) > 1}


def saying_nothing() -> list[str]:
    """Functions of the remediator that are called like five verbs which say nothing."""
    found = []
    for name, path in modules().items():
        if name.startswith("remediations"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
            found += [f"{name}.{each}" for each in names if each.lstrip("_") in SAYS_NOTHING]
    return found


def short_files() -> list[tuple[str, int, str]]:
    """Files under 60 lines, with the reason why each is a separate file; `__init__.py` files are left out."""
    known = modules()
    users: dict[str, set[str]] = defaultdict(set)
    for name, path in known.items():
        for each in imports_of(path, known):
            users[each].add(name.rpartition(".")[0])
    found = []
    for name, path in known.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if path.name == "__init__.py" or lines >= SHORT_LINES:
            continue
        place = str(path.relative_to(ROOT))
        if place.startswith(PLUG_INS):
            reason = "a plug-in or its helper"
        else:
            reason = f"used from {len(users[name])} folders" if len(users[name]) > 1 else "one idea of its own"
        found.append((place, lines, reason))
    return found


def layers_of(program: str) -> list[list[str]]:
    """The layers of one program's import contract, from above: the modules of each."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    for contract in contracts:
        if contract["type"] != "layers":
            continue
        rows = [[part.strip() for part in layer.replace(":", "|").split("|")] for layer in contract["layers"]]
        if all(name.rpartition(".")[0] == program for row in rows for name in row):
            return [[name.removeprefix(f"{program}.") for name in row] for row in rows]
    raise LookupError(f"pyproject.toml has no layers contract for {program}")


def room_docs(program: str, room: str) -> str:
    """The first sentence of a room's docstring."""
    path = ROOT / Path(*program.split("."), *room.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.split("\n", 1)[0].split(". ", 1)[0].rstrip(".")


def draw(program: str, title: str) -> str:
    """One picture: a row for each layer, imports run downwards."""
    rows = layers_of(program)
    height = 60 + len(rows) * (ROW + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{BOX}" y="32" font-size="18" font-weight="bold">{escape(title)}</text>',
        f'<text x="{WIDTH - BOX}" y="32" font-size="12" text-anchor="end">imports run downwards only</text>',
    ]
    for number, row in enumerate(rows):
        top = 50 + number * (ROW + GAP)
        width = (WIDTH - 2 * BOX - (len(row) - 1) * GAP) / len(row)
        for place, room in enumerate(row):
            left = BOX + place * (width + GAP)
            text = room_docs(program, room)
            most = int((width - 9.5 * len(room) - 30) / 6.3)
            shown = text if len(text) <= most else text[: most - 1].rstrip() + "…" if most > MIN_NOTE else ""
            frame = f'x="{left:g}" y="{top}" width="{width:g}" height="{ROW}" rx="6"'
            note = f'<tspan font-size="12" font-weight="normal" dx="10" fill="#333">{escape(shown)}</tspan>'
            lines.append(f'<rect {frame} fill="#eef3fb" stroke="#5b7db1"/>')
            lines.append(
                f'<text x="{left + 12:g}" y="{top + 28}" font-size="14" font-weight="bold">{escape(room)}{note}</text>'
            )
        if number + 1 < len(rows):
            middle, bottom = WIDTH / 2, top + ROW
            lines.append(f'<path d="M{middle:g} {bottom} v{GAP}" stroke="#5b7db1" stroke-width="2"/>')
    return "\n".join([*lines, "</svg>", ""])


def pictures() -> dict[Path, str]:
    """Every picture by its path."""
    return {
        PICTURES / "exporter.svg": draw("exporter", "controlcore-exporter"),
        PICTURES / "remediator.svg": draw("remediations", "controlcore-remediator"),
        PICTURES / "core.svg": draw("remediations.core", "The remediator's core: decides, without I/O"),
    }


def report() -> Iterable[str]:
    """The figures, a line each."""
    for entries, folder in largest_folders():
        yield f"largest folder: {entries} entries in {folder} (at most {MAX_ENTRIES})"
    yield f"circles of imports between files: {len(file_circles())} {file_circles() or ''}".rstrip()
    yield f"circles of imports between folders: {len(folder_circles())} {folder_circles() or ''}".rstrip()
    yield f"class names defined twice: {len(defined_twice())} {defined_twice() or ''}".rstrip()
    words = ", ".join(sorted(SAYS_NOTHING))
    yield f"functions called {words} in remediations: {len(saying_nothing())} {saying_nothing() or ''}".rstrip()
    short = short_files()
    yield f"files under {SHORT_LINES} lines: {len(short)} of {len(modules())}"
    for place, lines, reason in short:
        yield f"  {place}: {lines}, {reason}"


def main() -> None:
    """Prints the figures, or draws the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate.house", description=__doc__)
    parser.add_argument("--write", action="store_true", help="draw docs/images/*.svg anew")
    if parser.parse_args().write:
        PICTURES.mkdir(exist_ok=True)
        for path, text in pictures().items():
            path.write_text(text, encoding="utf-8")
        return
    for line in report():
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
