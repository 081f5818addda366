"""Faults of running programs, as a client and the process table see them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.waiting import wait_for
from tests.integration.demo.asking import Answer, ask
from tools.standin import processes
from tools.standin.cluster.replica import cpu_seconds

if TYPE_CHECKING:
    from tools.standin.running import StandIn

pytestmark = pytest.mark.timeout(60)

API = "api"


def is_refusing(base: str) -> bool:
    try:
        ask(f"{base}/health")
    except OSError as error:
        return isinstance(getattr(error, "reason", error), ConnectionRefusedError)
    return False


def test_hanging_program_accepts_and_never_answers_until_cleared(healed: StandIn) -> None:
    healed.fault(API, "hang")
    with pytest.raises(TimeoutError):
        ask(f"{healed.api_url}/health", timeout_seconds=0.5)
    with pytest.raises(TimeoutError):  # the whole event loop is blocked, so the public port's admin route is too
        ask(f"{healed.api_url}/_fault", timeout_seconds=0.5)
    healed.clear(API)
    assert ask(f"{healed.api_url}/health").status == 200


def test_hang_of_one_path_leaves_the_others(healed: StandIn) -> None:
    healed.fault(API, "hang", path="/opal/bouncer-pairs")
    assert ask(f"{healed.api_url}/health").status == 200
    with pytest.raises(TimeoutError):
        ask(f"{healed.api_url}/opal/bouncer-pairs", timeout_seconds=0.5)


def test_refusing_program_refuses_and_comes_back_on_the_same_port(healed: StandIn) -> None:
    healed.fault(API, "refuse")
    wait_for(lambda: is_refusing(healed.api_url))
    healed.clear(API)
    wait_for(lambda: not is_refusing(healed.api_url))
    assert ask(f"{healed.api_url}/health").status == 200


def test_slow_program_answers_after_its_delay(healed: StandIn) -> None:
    healed.fault(API, "slow", delay_seconds=0.3)
    started_at = time.monotonic()
    assert ask(f"{healed.api_url}/health").status == 200
    assert time.monotonic() - started_at >= 0.3


def test_failing_program_answers_the_status_asked_for(healed: StandIn) -> None:
    healed.fault(API, "5xx", status=502)
    assert ask(f"{healed.api_url}/health").status == 502
    assert ask(f"{healed.api_url}/opal/bouncer-pairs").status == 502


def test_wrong_answer_is_a_page_with_200(healed: StandIn) -> None:
    healed.fault(API, "wrong_answer")
    answer = ask(f"{healed.api_url}/health")
    assert answer.status == 200
    assert str(answer.body).startswith("<!doctype html>")


def test_crashed_program_is_gone_and_can_be_restarted_on_its_port(healed: StandIn) -> None:
    pid = healed.programs[API].pid
    healed.fault(API, "crash")
    wait_for(lambda: not healed.programs[API].is_running())
    assert is_refusing(healed.api_url)
    url = healed.api_url
    healed.restart(API)
    assert healed.api_url == url
    assert healed.programs[API].pid != pid
    assert ask(f"{url}/health").status == 200


def test_public_port_takes_faults_from_loopback_too(healed: StandIn) -> None:
    url = f"{healed.api_url}/_fault"
    assert ask(url, {"kind": "explode"}).status == 400
    assert ask(url, {"kind": "slow", "delay_seconds": 0}).status == 200
    assert [each["kind"] for each in ask(url).body["faults"]] == ["slow"]


def test_cpu_fault_burns_its_share_and_no_more_than_the_limit() -> None:
    """It gets less CPU while other programs use the cores: rounds are repeated until the machine leaves it enough."""
    bouncer = processes.start("bouncer", ["--cpu-limit-millicores", "100"])
    most = {50: 0.0, 100: 0.0, 5000: 0.0}

    def is_in_proportion() -> bool:
        for asked, used in most.items():
            most[asked] = max(used, burn(bouncer, asked))
        half, whole, beyond = (used / most[100] for used in most.values())
        return 0.35 <= half <= 0.75 and whole == 1.0 and beyond >= 0.7

    try:
        wait_for(is_in_proportion, describe=lambda: most)
    finally:
        bouncer.end()
    assert most[5000] <= 1.3 * most[100]
    assert max(most.values()) <= 130, "the limit holds whatever the machine does"


def burn(program: processes.Program, millicores: float, seconds: float = 1.0) -> float:
    """Switch the fault on and return what the process then really uses, in thousandths of a core.

    The time is taken around the two readings: a pause of this process makes the figure smaller, never larger.
    """
    ask(f"{program.admin_url}/_fault", {"kind": "cpu", "millicores": millicores})
    time.sleep(0.2)
    started_at, before = time.monotonic(), cpu_seconds(program.pid)
    time.sleep(seconds)
    after, ended_at = cpu_seconds(program.pid), time.monotonic()
    assert before is not None
    assert after is not None
    return 1000 * (after - before) / (ended_at - started_at)


def test_failed_start_leaves_no_process_and_tells_the_reason() -> None:
    with pytest.raises(processes.StartFailedError, match="unrecognized arguments: --nonsense"):
        processes.start_together([("bouncer", []), ("bouncer", ["--nonsense"])])


def test_programs_end_with_a_killed_parent() -> None:
    """Nothing is left when the process that started them is killed and can clean nothing up."""
    script = "from tools.standin import processes; print(processes.start('bouncer', []).pid, flush=True); input()"
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_ended_standin_leaves_no_process(healed: StandIn) -> None:
    program = processes.start("opal", ["--role", "client"])
    assert ask(f"{program.url}/ready") == Answer(200, {"status": "ok"})
    program.end()
    program.end()
    assert not Path(f"/proc/{program.pid}").exists()
