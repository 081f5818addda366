"""Limits glibc's allocator, so that memory freed after a collection returns to the system."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""


LIMITS = {M_ARENA_MAX: 1, M_MMAP_THRESHOLD: 64 * 1024, M_TRIM_THRESHOLD: 128 * 1024}
"""Arenas, bytes, bytes. They override MALLOC_… variables of the environment."""


def limit_heap() -> bool:
    """Sets LIMITS for the rest of the process; call it before the first thread. False where libc has no mallopt.

    By default, each freed block with its own mapping raises the size from which blocks get one. Pages, their compressed
    copies and backend answers (hundreds of kilobytes) then come from the heap, which long-lived small blocks keep from
    shrinking; and each thread has its own heap. Fixed limits prevent both (mallopt(3)).
    """
    try:
        set_limit = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(set_limit(parameter, value) == 1 for parameter, value in LIMITS.items())
