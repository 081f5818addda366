from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import PermanentError, Reason
from chassis.kubernetes.quantity import parse_quantity
from exporter.collectors.kubernetes.workload_objects import (
    allowance,
    autoscalers_by_deployment,
    read_autoscaler,
    read_deployment,
    read_usage,
)


def named(values):
    return {metric.name.removeprefix("controlcore_"): value for metric, value in values.items()}


def container(**resources):
    return {"name": "c", "resources": {kind: {"cpu": cpu} for kind, cpu in resources.items()}}


def pod(name, *containers, **metadata):
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": list(containers)}}


def figure(name, *usages):
    return {"metadata": {"name": name}, "containers": [{"name": "c", "usage": {"cpu": cpu}} for cpu in usages]}


def figures(**usages):
    return {name: figure(name, usage) for name, usage in usages.items()}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("1", "1"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("250m", "0.25"),
        ("1500m", "1.5"),
        ("100u", "0.0001"),
        ("123456789n", "0.123456789"),
        ("0n", "0"),
        ("2k", "2000"),
        ("1M", "1000000"),
        ("1G", "1000000000"),
        ("1T", "1000000000000"),
        ("1P", "1000000000000000"),
        ("1E", "1000000000000000000"),
        ("1Ki", "1024"),
        ("1.5Ki", "1536"),
        ("64Mi", "67108864"),
        ("2Gi", "2147483648"),
        ("1Ti", "1099511627776"),
        ("1Pi", "1125899906842624"),
        ("1Ei", "1152921504606846976"),
        ("12e6", "12000000"),
        ("12E6", "12000000"),
        ("1e-3", "0.001"),
        ("-1", "-1"),
        ("+1", "1"),
    ],
)
def test_quantity_is_its_number(text, number):
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "m",
        "1mm",
        "1 m",
        "1e",
        "1e3m",
        "1ki",
        "1KI",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "1,5",
        "\u0661",
        "1m\n",
    ],
)
def test_text_that_is_no_quantity_is_malformed(text):
    with pytest.raises(PermanentError) as caught:
        parse_quantity(text)
    assert caught.value.reason is Reason.MALFORMED


@given(st.integers(0, 10**9))
def test_thousand_thousandths_are_the_number(number):
    assert parse_quantity(f"{number}m") * 1000 == parse_quantity(str(number))


def test_deployment_status_leaves_out_counts_that_are_zero():
    deployment = {"spec": {"replicas": 3}, "status": {"observedGeneration": 2, "readyReplicas": 1}}
    assert named(read_deployment(deployment)) == {
        "deployment_replicas_desired": 3,
        "deployment_replicas_available": 0,
        "deployment_replicas_ready": 1,
        "deployment_replicas_updated": 0,
    }


def test_deployment_that_no_controller_has_seen_has_no_known_status():
    assert named(read_deployment({"spec": {}, "status": {}})) == {"deployment_replicas_desired": 1}


def autoscaler(name="api", target="api", status=None, **spec):
    reference = {"kind": "Deployment", "name": target, "apiVersion": "apps/v1"}
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": reference, **spec}, "status": status or {}}


def conditions(**states):
    return [{"type": kind, "status": state} for kind, state in states.items()]


def test_autoscaler_at_its_maximum():
    status = {
        "currentReplicas": 9,
        "desiredReplicas": 10,
        "conditions": conditions(AbleToScale="True", ScalingActive="True", ScalingLimited="True"),
    }
    assert named(read_autoscaler(autoscaler(minReplicas=3, maxReplicas=10, status=status))) == {
        "hpa_replicas_min": 3,
        "hpa_replicas_max": 10,
        "hpa_replicas_current": 9,
        "hpa_replicas_desired": 10,
        "hpa_at_max": True,
        "hpa_scaling_active": True,
        "hpa_scaling_limited": True,
    }


def test_autoscaler_below_its_maximum_is_not_at_it():
    status = {
        "currentReplicas": 3,
        "desiredReplicas": 4,
        "conditions": conditions(ScalingActive="True", ScalingLimited="False"),
    }
    values = named(read_autoscaler(autoscaler(maxReplicas=10, status=status)))
    assert (values["hpa_at_max"], values["hpa_scaling_limited"], values["hpa_replicas_min"]) == (False, False, 1)


@pytest.mark.parametrize(
    "bounds", [{"minReplicas": 1, "maxReplicas": 1}, {"minReplicas": 3, "maxReplicas": 3}, {"maxReplicas": 1}]
)
def test_autoscaler_whose_bounds_are_equal_tells_nothing_of_the_load(bounds):
    """P8: it always wants its maximum."""
    status = {"desiredReplicas": bounds["maxReplicas"], "conditions": conditions(ScalingActive="True")}
    assert "hpa_at_max" not in named(read_autoscaler(autoscaler(**bounds, status=status)))


def test_blind_autoscaler_that_never_computed_a_size_has_no_wanted_size():
    status = {"currentReplicas": 3, "desiredReplicas": 0, "conditions": conditions(ScalingActive="False")}
    values = named(read_autoscaler(autoscaler(maxReplicas=10, status=status)))
    assert values == {
        "hpa_replicas_min": 1,
        "hpa_replicas_max": 10,
        "hpa_replicas_current": 3,
        "hpa_scaling_active": False,
    }


def test_fresh_autoscaler_and_unknown_conditions_are_absent():
    assert named(read_autoscaler(autoscaler(maxReplicas=2))) == {"hpa_replicas_min": 1, "hpa_replicas_max": 2}
    status = {"conditions": conditions(ScalingActive="Unknown")}
    assert "hpa_scaling_active" not in named(read_autoscaler(autoscaler(maxReplicas=2, status=status)))


def test_autoscaler_is_found_by_its_target_and_not_by_its_name():
    wanted = autoscaler("z-hpa", "api", maxReplicas=1)
    stateful = autoscaler("a", "api", maxReplicas=1)
    stateful["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"
    found = autoscalers_by_deployment([autoscaler("api", "ui", maxReplicas=1), stateful, wanted])
    assert found["api"] is wanted
    assert not autoscalers_by_deployment([])


def test_allowance_adds_containers_and_native_sidecars():
    given = pod("p", container(limits="500m"), container(limits="1"))
    given["spec"]["initContainers"] = [
        {**container(limits="250m"), "restartPolicy": "Always"},
        container(limits="8"),
    ]
    assert allowance(given, "limits") == Decimal("1.75")


def test_one_container_without_a_limit_leaves_the_pod_without_one():
    assert allowance(pod("p", container(limits="1"), container(requests="1")), "limits") is None
    assert allowance(pod("p", {"name": "c"}), "requests") is None


def test_limit_of_the_pod_itself_comes_before_those_of_its_containers():
    given = pod("p", container(limits="500m"), container())
    given["spec"]["resources"] = {"limits": {"cpu": "2"}}
    assert allowance(given, "limits") == 2


@pytest.mark.parametrize("usage", ["-1", "rubbish", "", "1e999"])
def test_figure_that_cannot_be_true_is_unknown_and_costs_no_other(usage):
    """P1: a metrics server's answer."""
    pods = [pod("a", container(limits="1")), pod("b", container(limits="1"))]
    assert read_usage(pods, figures(a=usage, b="250m")).cores == 0.25
    assert read_usage(pods[:1], figures(a=usage)).cores is None


def test_busiest_replica_decides_the_ratio_and_all_replicas_the_cores():
    pods = [pod("a", container(limits="500m", requests="100m")), pod("b", container(limits="500m"))]
    usage = read_usage(pods, figures(a="100m", b="450m"))
    assert (usage.cores, usage.ratio, usage.basis) == (0.55, 0.9, "limit")


def test_usage_is_measured_against_the_request_without_a_limit():
    usage = read_usage([pod("a", container(requests="200m"))], figures(a="300m"))
    assert (usage.ratio, usage.basis) == (1.5, "request")


def test_usage_without_limit_and_request_has_cores_and_no_ratio():
    usage = read_usage([pod("a", container())], figures(a="300m"))
    assert (usage.cores, usage.ratio) == (0.3, None)


def test_containers_of_a_pod_are_added():
    given = pod("a", container(limits="1"), container(limits="1"))
    assert read_usage([given], {"a": figure("a", "500m", "250000000n")}).ratio == 0.375


def test_pods_without_a_figure_are_unknown_and_not_idle():
    assert read_usage([pod("a", container(limits="1"))], {}).cores is None


def test_pod_that_is_ending_does_not_count():
    ending = pod("a", container(limits="1"), deletionTimestamp="2026-01-02T03:04:05Z")
    assert read_usage([ending, pod("b", container(limits="1"))], figures(a="900m", b="100m")).ratio == 0.1


def test_pod_that_is_over_does_not_count():
    """R8: its last figure may be listed a while longer."""
    over = {**pod("a", container(limits="1")), "status": {"phase": "Failed", "reason": "Evicted"}}
    assert read_usage([over, pod("b", container(limits="1"))], figures(a="900m", b="100m")).ratio == 0.1
