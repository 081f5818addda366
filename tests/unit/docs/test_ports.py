"""Examples give one port for one component, the one that it listens on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.standin.cluster.components import OPAL_CLIENT, OPAL_SERVER, Component

ROOT = Path(__file__).parents[3]
FOLDERS = ("docs", "demo", "exporter", "remediations", "helm")
TEXTS = {".md", ".py", ".yaml", ".yml", ".tpl", ".txt"}


@pytest.mark.parametrize("component", [OPAL_CLIENT, OPAL_SERVER], ids=lambda component: component.name)
def test_address_in_an_example_has_the_port_of_its_component(component: Component) -> None:
    address = re.compile(rf"(?i)\b{component.name}(?:\.[\w.-]+)?:(\d{{4,5}})\b")
    files = [ROOT / "README.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    found = [
        (str(path.relative_to(ROOT)), port)
        for path in files
        if path.suffix in TEXTS and path.is_file()
        for port in address.findall(path.read_text(encoding="utf-8"))
    ]
    assert found
    assert [(place, port) for place, port in found if port != str(component.port)] == []
