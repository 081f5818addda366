"""The four acts: a fault whose repair is refused, one restarted, one scaled, and one that needs a second rung."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demo.stage import API, BOUNCERS, OPAL_CLIENT, Stage
from demo.state_reader import Story
from demo.timeline import Report, Timeline, headline
from demo.watcher import ActTimeoutError, Watcher
from remediations.core.model.remediation import State
from tools.standin.faults import client
from tools.standin.faults.datastore import frozen

RESTART = "restart-api"
SCALE = "scale-api"
UPDATE = "update-policies"
API_UP = 'controlcore_component_up{component="api"}'
HPA_MAXIMUM = 'controlcore_hpa_replicas_max{component="control-plane-api"}'
CPU = "cpu_usage_percent"
ENGINES = tuple(f'controlcore_policy_engine_up{{bouncer="{name}"}}' for name in BOUNCERS)
CPU_ALERTS = frozenset({"HighCPUUsage", "ControlCoreCPUSaturated"})
"""The guide's own alert and ours: the policy answers to both, and whichever fires first opens the remediation."""
WAIT_SECONDS = 150.0
QUIET_SECONDS = 60.0
"""How long an act waits for the alerts of the one before to resolve."""
STEP = 2
LOAD_RATIO = 0.9
"""Offered load as a part of what the HPA's maximum of replicas can bear: high enough that only more replicas help."""


@dataclass(slots=True)
class Act:
    """Shared state of every act, and its faults so far."""

    stage: Stage
    timeline: Timeline
    watcher: Watcher
    wrong: list[str]

    def check(self, is_so: bool, sentence: str) -> None:  # noqa: FBT001 - the fact that is checked
        """Records the sentence as a fault of the act unless the condition holds."""
        if not is_so:
            self.wrong.append(sentence)
            self.timeline.say("WRONG", sentence)

    def generation(self, name: str = API) -> int | None:
        """The Deployment's generation: each change of its template or replicas raises it by one."""
        if self.stage.cluster is None:
            return None
        path = f"/apis/apps/v1/namespaces/{self.stage.plan.namespace}/deployments/{name}"
        return int(self.stage.cluster.client.get(path)["metadata"]["generation"])

    def check_writes(self, expected: int) -> None:
        """Records a fault unless exactly this many changes were written since the fault, by any policy."""
        stories = self.watcher.stories.values()
        written = [
            each.remediation for each in stories if (each.remediation.written_at or 0.0) >= self.timeline.began_at
        ]
        names = ", ".join(sorted(each.policy for each in written)) or "nothing"
        self.check(is_so=len(written) == expected, sentence=f"{expected} changes are written; written by: {names}")

    def ended(self, policy: str, state: State) -> Story | None:
        """The remediation of a policy that began in this act and has ended like this."""
        stories = [each for each in self.watcher.stories.values() if each.remediation.policy == policy]
        own = [each for each in stories if each.remediation.created_at >= self.timeline.began_at]
        return next((each for each in own if each.remediation.state is state), None)

    def keep_marks(self, story: Story | None, *, is_recovered: bool) -> str:
        """Takes the milestones that the journal knows, and returns the remediation's id."""
        if story is None:
            return ""
        marks, remediation = self.timeline.marks, story.remediation
        marks["received"] = self.timeline.since(remediation.created_at)
        decisions = [record.at for record in story.records if record.kind == "decision"]
        if decisions:
            marks["decided"] = self.timeline.since(decisions[0])
        if remediation.written_at is not None:
            marks["written"] = self.timeline.since(remediation.written_at)
        if is_recovered:
            marks["verified"] = self.timeline.since(remediation.updated_at)
        return remediation.id


def play(stage: Stage, title: str, scene: Callable[[Act], str]) -> Report:
    """Plays one act from a quiet start and reports."""
    headline(title)
    timeline = Timeline()
    act = Act(stage, timeline, Watcher(stage, timeline), [])
    act.watcher.settle(QUIET_SECONDS)
    timeline.restart()
    return perform(act, title, scene)


def perform(act: Act, title: str, scene: Callable[[Act], str]) -> Report:
    """Reports how the scene ends; an act whose wait times out is overdue, which is not a wrong action."""
    remediation, overdue = "", ""
    try:
        remediation = scene(act)
        outcome = "as it must be" if not act.wrong else "WRONG"
    except ActTimeoutError as error:
        overdue = str(error)
        act.timeline.say("OVERDUE", overdue)
        outcome = "WRONG" if act.wrong else "OVERDUE"
    return Report(title.partition(":")[0], outcome, dict(act.timeline.marks), tuple(act.wrong), remediation, overdue)


def _state(act: Act, policy: str) -> State | None:
    story = act.watcher.story(policy)
    return None if story is None else story.remediation.state


def frozen_database(act: Act) -> str:
    """The database stops answering: the API looks dead too, and restarting it would only make it worse."""
    generation, timeline, watcher = act.generation(), act.timeline, act.watcher
    with frozen(act.stage.stores.postgres):
        timeline.say("fault", "every PostgreSQL process is stopped (SIGSTOP): connections stay open, nothing answers")
        watcher.wait(
            "the exporter sees the database down", lambda: watcher.page.get("controlcore_postgres_up") == 0, 60
        )
        timeline.marks["detected"] = timeline.elapsed
        watcher.wait("ControlCoreAPIDown fires", lambda: "ControlCoreAPIDown" in watcher.fired, WAIT_SECONDS)
        timeline.marks["alerted"] = timeline.elapsed
        # On a busy machine it may be held for another reason before, such as an answer that came late.
        watcher.wait("the restart is held: dependency_down", lambda: _is_held_for_the_database(act), WAIT_SECONDS)
        watcher.wait("ControlCoreDatabaseDown fires", lambda: "ControlCoreDatabaseDown" in watcher.fired, WAIT_SECONDS)
    timeline.say("end", "PostgreSQL continues (SIGCONT)")
    watcher.wait("the API answers again", lambda: watcher.page.get(API_UP) == 1, WAIT_SECONDS)
    timeline.marks["recovered"] = timeline.elapsed
    watcher.wait("the remediation closes", lambda: _state(act, RESTART) is State.NOT_NEEDED, WAIT_SECONDS)
    identity = act.keep_marks(watcher.story(RESTART), is_recovered=True)
    watcher.wait("the alerts resolve", lambda: "ControlCoreAPIDown" not in watcher.alerts, WAIT_SECONDS)
    act.check_writes(0)
    if generation is not None:
        act.check(act.generation() == generation, "the Deployment's generation is unchanged")
    return identity


def hanging_api(act: Act) -> str:
    """Every replica of the API hangs while its database is well: a rolling restart is the repair."""
    generation, timeline, watcher, follower = act.generation(), act.timeline, act.watcher, act.stage.follower
    if follower is None or generation is None:
        raise ActTimeoutError("this act needs the cluster")
    pods = follower.fault("hang", API)
    timeline.say("fault", f"{len(pods)} replicas of {API} hang: connections are accepted, nothing is answered")
    watcher.wait("the exporter sees the API down", lambda: watcher.page.get(API_UP) == 0, 60)
    timeline.marks["detected"] = timeline.elapsed
    watcher.wait("ControlCoreAPIDown fires", lambda: "ControlCoreAPIDown" in watcher.fired, WAIT_SECONDS)
    timeline.marks["alerted"] = timeline.elapsed
    watcher.wait("the API answers again", lambda: watcher.page.get(API_UP) == 1, WAIT_SECONDS)
    timeline.marks["recovered"] = timeline.elapsed
    watcher.wait("the restart is verified", lambda: _state(act, RESTART) is State.SUCCEEDED, WAIT_SECONDS)
    identity = act.keep_marks(watcher.story(RESTART), is_recovered=True)
    act.check(act.generation() == generation + 1, "the Deployment was changed exactly once")
    watcher.wait("the alert resolves", lambda: "ControlCoreAPIDown" not in watcher.alerts, WAIT_SECONDS)
    act.check_writes(1)
    return identity


def saturated_cpu(act: Act) -> str:
    """More load than the autoscaler's maximum can bear: the maximum is raised, within its cap."""
    timeline, watcher, follower = act.timeline, act.watcher, act.stage.follower
    maximum = watcher.page.get(HPA_MAXIMUM)
    if follower is None or maximum is None:
        raise ActTimeoutError("this act needs the cluster and its autoscaler")
    load = maximum * act.stage.plan.cpu_millicores * LOAD_RATIO
    follower.fault("cpu", API, millicores=load)
    timeline.say("fault", f"{load:.0f} millicores of work arrive; {maximum:.0f} replicas bear {load / LOAD_RATIO:.0f}")
    watcher.wait("the replicas are busy", lambda: watcher.page.get(CPU, 0.0) > 80, 60)
    timeline.marks["detected"] = timeline.elapsed
    watcher.wait("an alert about CPU fires", lambda: bool(CPU_ALERTS & watcher.fired), WAIT_SECONDS)
    timeline.marks["alerted"] = timeline.elapsed
    watcher.wait("the maximum is raised", lambda: watcher.page.get(HPA_MAXIMUM, 0.0) > maximum, WAIT_SECONDS)
    watcher.wait("the load falls below 80 %", lambda: watcher.page.get(CPU, 100.0) < 80, WAIT_SECONDS)
    timeline.marks["recovered"] = timeline.elapsed
    watcher.wait("the change is verified", lambda: _state(act, SCALE) is State.SUCCEEDED, WAIT_SECONDS)
    identity = act.keep_marks(watcher.story(SCALE), is_recovered=True)
    raised = watcher.page[HPA_MAXIMUM]
    act.check(
        is_so=raised == maximum + STEP, sentence=f"the maximum is raised by one step, {maximum:.0f} to {raised:.0f}"
    )
    act.check_writes(1)
    follower.clear(API, "cpu")
    return identity


def empty_engine(act: Act) -> str:
    """The OPAL client has lost its policies: asking it to load them does not help, so the next rung restarts it."""
    timeline, watcher, follower = act.timeline, act.watcher, act.stage.follower
    generation = act.generation(OPAL_CLIENT)
    if follower is None or generation is None:
        raise ActTimeoutError("this act needs the cluster")
    follower.fault("engine_error", OPAL_CLIENT, path="/ready")
    timeline.say("fault", f"{OPAL_CLIENT} has lost its policies and loads none: each decision is undefined, so denied")
    watcher.wait("the exporter sees the engines fail", lambda: all(watcher.page.get(name) == 0 for name in ENGINES), 60)
    timeline.marks["detected"] = timeline.elapsed
    watcher.wait("the alert fires", lambda: "ControlCorePolicyEngineFailing" in watcher.fired, WAIT_SECONDS)
    timeline.marks["alerted"] = timeline.elapsed
    watcher.wait("the first rung is carried out", lambda: _is_written(act, UPDATE), WAIT_SECONDS)
    told = [client.look(each.admin_url)["counters"] for each in follower.replicas(OPAL_CLIENT) if each.admin_url]
    once = {"policy_update": 1, "data_update": 1}
    act.check(is_so=told == [once], sentence=f"the client is asked once to load policies and data: {told}")
    watcher.wait("the first rung has failed", lambda: act.ended(UPDATE, State.FAILED) is not None, WAIT_SECONDS)
    watcher.wait("the engines decide", lambda: all(watcher.page.get(name) == 1 for name in ENGINES), WAIT_SECONDS)
    timeline.marks["recovered"] = timeline.elapsed
    watcher.wait("the restart is verified", lambda: act.ended(UPDATE, State.SUCCEEDED) is not None, WAIT_SECONDS)
    repaired = act.ended(UPDATE, State.SUCCEEDED)
    identity = act.keep_marks(repaired, is_recovered=True)
    act.check(
        repaired is not None and repaired.remediation.target.name == OPAL_CLIENT, "the second rung restarts the client"
    )
    act.check(act.generation(OPAL_CLIENT) == generation + 1, "the client's Deployment was changed exactly once")
    watcher.wait("the alert resolves", lambda: "ControlCorePolicyEngineFailing" not in watcher.alerts, WAIT_SECONDS)
    act.check_writes(2)
    return identity


def _is_held_for_the_database(act: Act) -> bool:
    story = act.watcher.story(RESTART)
    if story is None:
        return False
    return story.remediation.state is State.HELD and story.remediation.reason == "dependency_down"


def _is_written(act: Act, policy: str) -> bool:
    """Whether a remediation of the policy has made all its calls."""
    story = act.watcher.story(policy)
    return story is not None and story.remediation.state not in {
        State.RECEIVED,
        State.CLAIMED,
        State.PLANNED,
        State.WRITING,
        State.HELD,
    }
