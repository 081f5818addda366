"""R1: no expression of ours takes the square of what others write, and no foreign expression runs on `re`."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

from chassis.errors import PermanentError
from chassis.kubernetes.quantity import parse_quantity
from chassis.output.redaction import remove_secrets
from exporter.collectors.policy_engine.opa_page import LABEL
from tools.slowness import scaled

ROOT = Path(__file__).parents[2]
SIZE = 20_000
"""Characters: the square of them takes the standard library ten seconds and more, the length itself milliseconds."""
BOUND_SECONDS = 1.0


def test_label_of_an_opa_page_is_found_in_time_by_its_length() -> None:
    began = time.monotonic()
    assert LABEL.findall("a" * SIZE) == []
    assert time.monotonic() - began < scaled(BOUND_SECONDS)
    assert LABEL.findall('le="0.1",code="2\\"00"') == [("le", "0.1"), ("code", '2\\"00')]


@pytest.mark.parametrize(
    "repeated", ["eyJ-", "password=", "password=x ", "-----BEGIN KEY", "://a", "<token>", "aB1", "-u "]
)
def test_secrets_in_a_log_are_found_in_time_by_its_length(repeated: str) -> None:
    began = time.monotonic()
    remove_secrets(repeated * (SIZE // len(repeated)), ["hunter2hunter2"])
    assert time.monotonic() - began < scaled(BOUND_SECONDS)


@pytest.mark.parametrize("text", ["1" * SIZE, "1" * SIZE + "x", "1e999999999", "1e5000", ".", "", "e5"])
def test_quantity_without_measure_is_malformed(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(PermanentError):
        parse_quantity(text)
    assert time.monotonic() - began < scaled(BOUND_SECONDS)


@pytest.mark.parametrize(("text", "value"), [("1.", 1), (".5", 0.5), ("-1.5", -1.5), ("12e3", 12000), ("100m", 0.1)])
def test_quantity_is_read_as_before(text: str, value: float) -> None:
    assert float(parse_quantity(text)) == value


def test_only_constant_expressions_are_compiled_by_the_standard_library() -> None:
    """What comes from a setting or a peer is compiled by re2."""
    found = []
    for package in ("chassis", "exporter", "remediations"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                is_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
                if is_re and isinstance(node.args[0], ast.Name):
                    found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    assert found == []
