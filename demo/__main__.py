"""`make demo`: four faults in Control Core, end to end on real parts. Ends 0 only if every act ends as it must."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from demo import tutorial
from demo.acts import Act, empty_engine, frozen_database, hanging_api, play, saturated_cpu
from demo.files import Pace
from demo.stage import Plan, Stage, opened_stage
from demo.timeline import Report, headline, table
from tools.install import build, packages
from tools.install.compiler import ToolError
from tools.servers.kubernetes.cluster import open_cluster
from tools.servers.kubernetes.control_plane import ClusterOptions
from tools.slowness import VARIABLE, renew, slowness

CLUSTER_PROGRAMS = ("controlplane", "kwok", "helm")
SLOWEST = 3.0
"""A slow machine gets at most this much more time for each window; its waits are scaled without this limit."""
Scene = tuple[str, Callable[[Act], str]]
ACTS: tuple[Scene, ...] = (
    ("act 1, the database freezes: a restart would not help, so none happens", frozen_database),
    ("act 2, the API hangs: restarted once, verified on fresh data", hanging_api),
    ("act 3, CPU saturated at the HPA's maximum: raised within its cap", saturated_cpu),
    ("act 4, every decision denied: asked to load its policies, and then restarted", empty_engine),
)


def say(text: str) -> None:
    """Prints a line of preparation."""
    print(f"  {text}", flush=True)


def is_built() -> bool:
    """Whether the cluster's programs are already built."""
    return all(build.choose(build.find_program(name)).is_present for name in CLUSTER_PROGRAMS)


def build_cluster_programs() -> None:
    """Compiles missing programs of the cluster; each line names the program and its duration."""
    if not is_built():
        headline("the Kubernetes control plane is compiled once (6 to 13 minutes on two cores)")
        build.build_all(CLUSTER_PROGRAMS, say)


def pace(factor: float) -> Pace:
    """The pace of a stage: the factor, or less on a slow or busy machine."""
    stretch = min(slowness(), SLOWEST)
    now = Pace(max(1.0, factor / stretch), patience=stretch)
    if now.factor < factor:
        say(
            f"this machine is slow or busy now ({slowness():g} times), so the windows are divided by"
            f" {now.factor:.3g} instead; {VARIABLE} sets the slowness"
        )
    return now


def play_acts(stage: Stage, acts: tuple[Scene, ...]) -> list[Report]:
    """Plays these acts one after another on one stage."""
    return [play(stage, title, scene) for title, scene in acts]


def play_first(plan: Plan, *, is_last: bool, is_kept: bool) -> list[Report]:
    """Plays the first act on a stage without a cluster."""
    say("without Kubernetes there is nothing to write to: act 1 then shows the decision and its reason")
    with opened_stage(plan, None, say) as stage:
        reports = play_acts(stage, ACTS[:1])
        if is_last:
            conclude(reports)
        if is_last and is_kept:
            keep(stage)
    return reports


@contextmanager
def cluster_stage(options: ClusterOptions, plan: Plan) -> Iterator[Stage]:
    """A stage whose product runs as pods of a separate cluster; prints what it waits for."""
    headline("a real Kubernetes starts: API server, etcd, controllers, scheduler, simulated nodes")
    say("waiting until its API server is ready")
    with open_cluster(options) as cluster, opened_stage(plan, cluster, say) as stage:
        yield stage


def play_on_cluster(plan: Plan, acts: tuple[Scene, ...], earlier: list[Report], *, is_kept: bool) -> list[Report]:
    """Plays these acts on a cluster, and prints the story of the first repair; no reports when that fails."""
    with cluster_stage(ClusterOptions(hpa_downscale_stabilization_seconds=20.0), plan) as stage:
        reports = earlier + play_acts(stage, acts)
        is_told = tell_story(reports, stage)
        conclude(reports)
        if is_kept:
            keep(stage)
    return reports if is_told else []


def play_all(plan: Plan, factor: float, *, is_kept: bool) -> list[Report]:
    """Plays every act.

    If the cluster's programs are not built yet, the first act comes before the build, without a cluster.
    """
    if is_built():
        return play_on_cluster(plan, ACTS, [], is_kept=is_kept)
    reports = play_first(plan, is_last=False, is_kept=False)
    build_cluster_programs()
    renew()
    return play_on_cluster(replace(plan, pace=pace(factor)), ACTS[1:], reports, is_kept=is_kept)


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
    build_cluster_programs()
    plan = Plan(pace=pace, mode="dry_run", remediator_folder=folder)
    with cluster_stage(ClusterOptions(), plan) as stage:
        tutorial.serve(stage, folder)


def read_arguments() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--act", type=int, choices=range(1, len(ACTS) + 1), help="play this act alone")
    parser.add_argument("--keep", action="store_true", help="stay up after the acts and print the URLs")
    parser.add_argument("--tutorial", action="store_true", help="play no act; prepare the stage of docs/tutorial.md")
    parser.add_argument("--folder", type=Path, default=tutorial.FOLDER, help="new, empty, or of an earlier tutorial")
    parser.add_argument(
        "--factor",
        type=float,
        default=12.0,
        help="divides every printed time window (default 12), on a slow machine by less",
    )
    return parser.parse_args()


def main() -> int:
    """Prepares, plays, prints; the exit status says whether every act ended as it must."""
    arguments = read_arguments()
    started = time.monotonic()
    headline(f"Control Core, watched and repaired; every printed time window is divided by {arguments.factor:.3g}")
    if packages.ensure(packages.DEMO) != 0:
        return 1
    plan = Plan(pace=pace(arguments.factor))
    acts = ACTS if arguments.act is None else ACTS[arguments.act - 1 : arguments.act]
    try:
        if arguments.tutorial:
            open_tutorial(plan.pace, arguments.folder)
            return 0
        if acts == ACTS:
            reports = play_all(plan, arguments.factor, is_kept=arguments.keep)
        elif acts == ACTS[:1]:
            reports = play_first(plan, is_last=True, is_kept=arguments.keep)
        else:
            build_cluster_programs()
            reports = play_on_cluster(plan, acts, [], is_kept=arguments.keep)
    except ToolError as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    is_well = len(reports) == len(acts) and all(report.is_well for report in reports)
    ended = "ended as it must" if len(acts) == 1 else f"all {len(acts)} ended as they must"
    print(f"\n{ended if is_well else 'NOT as it must be'} ({time.monotonic() - started:.0f} s)")
    if arguments.act is not None:
        print("`make demo` plays all four acts; docs/tutorial.md makes a fault that you repair yourself")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
