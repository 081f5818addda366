"""The remediator on a manipulated host: every process has the number 1, and a file sets the error of the clock.

`python -m tests.fakes.fake_host FILE ARGUMENT...`: FILE holds seconds and is read at every reading of the clock. Only
the host's answers change; the program is the one that is shipped.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from remediations.__main__ import main

TRUE_TIME = time.time


def be_container(offset_path: Path) -> None:
    """Answers for the host: a container's first process, and a clock that is off by what the file says."""
    os.getpid = lambda: 1
    time.time = lambda: TRUE_TIME() + float(offset_path.read_text() or 0)


if __name__ == "__main__":
    be_container(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
