"""Writes data as JSON or YAML that a terminal may show."""

from __future__ import annotations

import json
from typing import Any


def render(content: Any, form: str) -> str:
    """Data as `json` or `yaml`, without any character that a terminal would obey: those are written as escapes."""
    text = json.dumps(content, indent=2).replace("\x7f", "\\u007f")
    if form == "yaml":
        data = json.loads(text)  # noqa: TID251 - what was written just now
        import yaml  # noqa: PLC0415 - only this form needs it

        readable = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        if readable.replace("\n", "").isprintable():
            return readable
        # PyYAML prints bidirectional marks as they are unless it escapes everything beyond ASCII.
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=False)
    return text + "\n"
