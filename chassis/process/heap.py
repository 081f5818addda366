"""Keeps glibc's allocator from growing: what a collection frees goes back to the system."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""


LIMITS = {M_ARENA_MAX: 1, M_MMAP_THRESHOLD: 64 * 1024, M_TRIM_THRESHOLD: 128 * 1024}
"""Arenas, bytes, bytes. An operator who sets MALLOC_… in the environment is overruled."""


def limit_heap() -> bool:
    """Sets LIMITS for the rest of the process; call it before the first thread. False where libc has no mallopt.

    By default glibc raises the size from which a block gets its own mapping whenever such a block is freed. Pages,
    their compressed copies and answers of backends (hundreds of kilobytes) then come from the heap, where small blocks
    that live longer keep it from shrinking; and each thread has its own heap. Fixed limits stop both (mallopt(3)).
    """
    try:
        set_limit = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(set_limit(parameter, value) == 1 for parameter, value in LIMITS.items())
