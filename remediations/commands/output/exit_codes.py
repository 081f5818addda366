"""Exit statuses of the command line, for scripts."""

from __future__ import annotations

OK, FAILED, CONFIG, HOLD, NOT_NEEDED = 0, 1, 2, 3, 4

MEANINGS = {
    OK: "done; `plan`: something would be done",
    FAILED: "it failed, or nothing has this name; `replay`: a decision would be different now; "
    "`doctor`: there is something to fix; `healthcheck`: not healthy",
    CONFIG: "the command line, the settings, a file or the payload is wrong; every fault is printed with its location",
    HOLD: "`plan`: held, and nothing would be done; `doctor`: nothing to fix was found, but not "
    "everything could be checked",
    NOT_NEEDED: "`plan`: nothing is needed",
}
"""The table of docs/remediations/README.md and the end of `--help`; a test compares them."""


def epilog() -> str:
    """The table for `--help`."""
    return "exit status:\n" + "".join(f"  {number}  {meaning}\n" for number, meaning in MEANINGS.items())
