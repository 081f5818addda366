"""No loop is current before the first asynchronous test.

Without this, Python 3.11 makes one when pytest-asyncio asks for it, nobody closes it, and its warning fails a test.
"""

from __future__ import annotations

import asyncio

asyncio.set_event_loop(None)
