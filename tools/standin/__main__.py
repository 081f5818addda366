"""`python -m tools.standin --without-cluster`: run the stand-in over a PostgreSQL and a Redis, and print its URLs."""

from __future__ import annotations

import argparse
import json
import signal

from tools.standin.running import Options, StandIn, running_standin


def describe(standin: StandIn) -> dict[str, object]:
    """Return the URL and the admin URL of each component."""
    return {
        name: {"url": each.url, "admin_url": each.admin_url, "pid": each.pid} for name, each in standin.programs.items()
    }


def main(argv: list[str] | None = None) -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tools.standin", description=__doc__)
    parser.add_argument(
        "--without-cluster", action="store_true", required=True, help="plain processes on free loopback ports"
    )
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--redis-url", required=True)
    parser.add_argument(
        "--traffic-interval", type=float, default=0.2, help="seconds between simulated requests; 0 means none"
    )
    parser.add_argument("--opa-url", help="a real OPA that decides for the bouncers")
    parser.add_argument("--opal-statistics", action="store_true")
    arguments = parser.parse_args(argv)
    options = Options(arguments.traffic_interval, arguments.opa_url, arguments.opal_statistics)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with running_standin(arguments.database_url, arguments.redis_url, options) as standin:
        print(json.dumps(describe(standin), indent=2), flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
