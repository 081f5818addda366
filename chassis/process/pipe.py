"""Ends a command without a traceback when the reader of its output exits, as `head` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

EXIT_PIPE = 141
"""A shell's exit status for a program that SIGPIPE ended."""


def run_in_pipe(command: Callable[[], int]) -> int:
    """The command's exit status, or EXIT_PIPE if its standard output was closed too early."""
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Buffered output would raise again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
