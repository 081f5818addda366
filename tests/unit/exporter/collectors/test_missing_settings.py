"""A collector that is not configured names the setting that would configure it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
MESSAGE = re.compile(r'NotConfiguredError\(\s*"([^"]+)"')
SETTING = re.compile(r"`([a-z_.\[\]]+)[`:]")


def messages() -> list[str]:
    found = []
    for path in sorted((ROOT / "exporter" / "collectors").rglob("*.py")):
        found += MESSAGE.findall(path.read_text(encoding="utf-8"))
    return found


def test_there_are_messages() -> None:
    assert len(messages()) >= 25


@pytest.mark.parametrize("message", sorted(set(messages())))
def test_message_names_a_setting_that_exists(message: str) -> None:
    known = set(SETTING.findall((ROOT / "docs" / "exporter.md").read_text(encoding="utf-8")))
    named = [word.rstrip(",") for word in message.split() if word.rstrip(",") in known]
    assert named, "no word of it is a setting of docs/exporter.md"
