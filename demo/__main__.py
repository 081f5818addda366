"""`make demo`: four faults in Control Core, end to end on real parts. Ends 0 only if all four end as they must."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from demo import tutorial
from demo.acts import Act, empty_engine, frozen_database, hanging_api, play, saturated_cpu
from demo.files import Pace
from demo.stage import Plan, Stage, opened_stage
from demo.timeline import Report, headline, table
from tools.install import build, packages
from tools.install.compiler import ToolError
from tools.servers import orphan_cleanup
from tools.servers.kubernetes.cluster import open_cluster
from tools.servers.kubernetes.control_plane import ClusterOptions
from tools.slowness import VARIABLE, slowness

CLUSTER_PROGRAMS = ("controlplane", "kwok", "helm")
SLOWEST = 3.0
"""A slow machine gets at most so much more time for each window; its waits are scaled without this limit."""
DEBIAN_PACKAGES = ("postgresql-15", "redis-server", "prometheus", "prometheus-alertmanager", "openssl")
ACTS: tuple[tuple[str, Callable[[Act], str]], ...] = (
    ("act 1, the database freezes: a restart would not help, so none happens", frozen_database),
    ("act 2, the API hangs: restarted once, verified on fresh data", hanging_api),
    ("act 3, CPU saturated at the HPA's maximum: raised within its cap", saturated_cpu),
    ("act 4, every decision denied: asked to load its policies, and then restarted", empty_engine),
)


def say(text: str) -> None:
    """Prints a line of preparation."""
    print(f"  {text}", flush=True)


def is_built() -> bool:
    """Whether the cluster's programs are there already."""
    return all(build.choose(build.find_program(name)).is_present for name in CLUSTER_PROGRAMS)


class Compilation:
    """The cluster's programs being built beside the first act; progress and time left are printed as they come."""

    def __init__(self) -> None:
        """Starts the compiler with low priority: the act beside it is the one that is watched."""
        command = ["nice", sys.executable, "-m", "tools.install.build"]
        for name in CLUSTER_PROGRAMS:
            command += ["--only", name]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # Should this process be killed, the builder goes too, and takes the compiler along.
        orphan_cleanup.hold_process(self._process.pid, signal.SIGTERM)
        self._printer = threading.Thread(target=self._print, name="compilation", daemon=True)
        self._printer.start()

    def _print(self) -> None:
        for line in self._process.stdout or ():
            print(f"{'':>11}build      {line.rstrip()}", flush=True)

    def finish(self) -> None:
        """Waits for the end; RuntimeError when a program could not be built."""
        self._printer.join()
        if self._process.wait() != 0:
            raise RuntimeError("the cluster's programs could not be built; `make tools` says why")

    def abandon(self) -> None:
        """Ends the compiler, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        orphan_cleanup.release_process(self._process.pid)


def play_acts(stage: Stage, acts: tuple[tuple[str, Callable[[Act], str]], ...]) -> list[Report]:
    """Plays these acts one after another on one stage."""
    return [play(stage, title, scene) for title, scene in acts]


def play_all(plan: Plan, *, is_kept: bool) -> list[Report]:
    """Plays the first act without a cluster while that is still being built, the others on it."""
    reports: list[Report] = []
    acts = ACTS
    if not is_built():
        say("the Kubernetes control plane is compiled once (about six minutes on two cores); act 1 needs none of it")
        compilation = Compilation()
        try:
            say("without Kubernetes there is nothing to write to: this act then shows the decision and its reason")
            with opened_stage(plan, None, say) as stage:
                reports += play_acts(stage, ACTS[:1])
            headline("the rest of the compilation")
            compilation.finish()
        finally:
            compilation.abandon()
        acts = ACTS[1:]
    headline("a real Kubernetes starts: API server, etcd, controllers, scheduler, simulated nodes")
    options = ClusterOptions(hpa_downscale_stabilization_seconds=20.0)
    with open_cluster(options) as cluster, opened_stage(plan, cluster, say) as stage:
        reports += play_acts(stage, acts)
        is_told = tell_story(reports, stage)
        conclude(reports)
        if is_kept:
            keep(stage)
    return reports if is_told else []


def tell_story(reports: list[Report], stage: Stage) -> bool:
    """Prints the whole story of the first repair; False when there is none, or the command fails."""
    repaired = [report for report in reports if report.remediation and "written" in report.marks]
    if not repaired:
        return False
    headline(f"the whole story of {repaired[0].title}: controlcore-remediator show {repaired[0].remediation}")
    arguments = ["show", repaired[0].remediation, "--config.file", str(stage.remediator.settings_path)]
    return subprocess.run([sys.executable, "-m", "remediations", *arguments], check=False).returncode == 0


def conclude(reports: list[Report]) -> None:
    """Prints the table and the count."""
    headline("seconds since each fault")
    print(table(reports))
    wrong = sum(len(report.wrong) for report in reports)
    overdue = sum(bool(report.overdue) for report in reports)
    held = sum("written" not in report.marks and report.is_well for report in reports)
    acted = sum("written" in report.marks for report in reports)
    print(f"\nacted {acted}, held {held}, wrong {wrong}" + (f", overdue {overdue}" if overdue else ""), flush=True)


def keep(stage: Stage) -> None:
    """Stays up until SIGINT or SIGTERM."""
    headline("the stage stays up; Ctrl-C ends it")
    for name, url in stage.urls().items():
        print(f"  {name:<13} {url}")
    if stage.cluster is not None:
        print(f"  kubectl       KUBECONFIG={stage.cluster.kubeconfig_path}")
    print(flush=True)
    signals = {signal.SIGINT, signal.SIGTERM}
    # Blocked first: a signal that arrives outside sigwait would end this process without its own clean-up.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigwait(signals)


def open_tutorial(pace: Pace, folder: Path) -> None:
    """The stage of docs/tutorial.md, until it is ended; raises ToolError for a folder that holds something else."""
    tutorial.clear_folder(folder)
    if not is_built():
        say("the Kubernetes control plane is compiled once (about six minutes on two cores)")
        compilation = Compilation()
        try:
            compilation.finish()
        finally:
            compilation.abandon()
    plan = Plan(pace=pace, mode="dry_run", remediator_folder=folder)
    with open_cluster(ClusterOptions()) as cluster, opened_stage(plan, cluster, say) as stage:
        tutorial.serve(stage, folder)


def main() -> int:
    """Prepares, plays, prints; the exit status says whether every act ended as it must."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up after the acts and print the URLs")
    parser.add_argument("--tutorial", action="store_true", help="play no act; prepare the stage of docs/tutorial.md")
    parser.add_argument("--folder", type=Path, default=tutorial.FOLDER, help="new, empty, or of an earlier tutorial")
    parser.add_argument(
        "--factor",
        type=float,
        default=12.0,
        help="divides every printed time window (default 12), on a slow machine by less",
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    factor = max(1.0, arguments.factor / min(slowness(), SLOWEST))
    headline(f"Control Core, watched and repaired; every printed time window is divided by {factor:.3g}")
    if factor < arguments.factor:
        say(
            f"this machine is slow or busy now ({slowness():g}), so the windows are divided by less; {VARIABLE} sets it"
        )
    if packages.ensure([package for package in packages.PACKAGES if package.name in DEBIAN_PACKAGES]) != 0:
        return 1
    try:
        if arguments.tutorial:
            open_tutorial(Pace(factor), arguments.folder)
            return 0
        reports = play_all(Plan(pace=Pace(factor)), is_kept=arguments.keep)
    except ToolError as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    is_well = len(reports) == len(ACTS) and all(report.is_well for report in reports)
    print(f"\n{'all four ended as they must' if is_well else 'NOT as it must be'} ({time.monotonic() - started:.0f} s)")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
