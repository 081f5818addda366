"""What every unit test stands on."""

from __future__ import annotations

import asyncio

# pytest-asyncio asks for the current loop before it makes its own; on Python 3.11 the policy then invents one that
# nobody closes, and its ResourceWarning fails whichever test the garbage collector happens to run in.
asyncio.set_event_loop(None)
