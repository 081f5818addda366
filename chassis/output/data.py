"""Writes data as JSON or YAML that is safe for a terminal."""

from __future__ import annotations

import json
from typing import Any


def render(content: Any, form: str) -> str:
    """Data as `json` or `yaml`, with terminal control characters written as escapes."""
    text = json.dumps(content, indent=2).replace("\x7f", "\\u007f")
    if form == "yaml":
        data = json.loads(text)  # noqa: TID251 - what was written just now
        import yaml  # noqa: PLC0415 - only this form needs it

        readable = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        if readable.replace("\n", "").isprintable():
            return readable
        # PyYAML prints bidirectional marks unchanged unless it escapes everything beyond ASCII.
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=False)
    return text + "\n"
