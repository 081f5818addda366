"""Faults: their parsing, when they are on, and who may switch them."""

from __future__ import annotations

import os
import threading

import pytest

from tools.slowness import scaled
from tools.standin.faults.admin import answer_admin, is_loopback
from tools.standin.faults.switches import KINDS, Fault, FaultBox, UnknownFaultError, parse_fault


def test_every_kind_parses_to_itself() -> None:
    assert [parse_fault(b'{"kind":"%s"}' % kind.encode()).kind for kind in KINDS] == list(KINDS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"kind":"explode"}',
        b'{"kind":"slow","delay_seconds":-1}',
        b'{"kind":"slow","delay_seconds":"2"}',
        b'{"kind":"5xx","status":200}',
        b'{"kind":"slow","unknown":1}',
    ],
)
def test_malformed_fault_is_refused_with_the_known_kinds(body: bytes) -> None:
    with pytest.raises(UnknownFaultError, match="kinds: hang, crash"):
        parse_fault(body)


def test_switched_on_fault_stays_until_cleared() -> None:
    box = FaultBox("api")
    box.switch_on(Fault("slow", delay_seconds=0.5))
    assert box.get("slow") == Fault("slow", delay_seconds=0.5)
    assert box.get("hang") is None
    box.clear("slow")
    assert box.get("slow") is None


def test_clear_of_one_kind_leaves_the_others() -> None:
    box = FaultBox("api")
    box.switch_on(Fault("slow"))
    box.switch_on(Fault("5xx"))
    box.clear("slow")
    assert box.get("5xx") == Fault("5xx")


def test_fault_with_seconds_is_off_when_they_have_passed() -> None:
    box = FaultBox("api")
    box.switch_on(Fault("slow", seconds=0.0))
    assert box.get("slow") is None
    assert box.describe()["faults"] == []


def test_fault_with_path_is_on_for_that_path_only() -> None:
    box = FaultBox("bouncer")
    box.switch_on(Fault("slow", path="/api/v1/authorize"))
    assert box.get("slow", "/api/v1/authorize/bulk") is not None
    assert box.get("slow", "/health") is None
    assert box.get("slow") is not None


def test_hang_blocks_the_thread_until_another_clears_it() -> None:
    box = FaultBox("api")
    box.switch_on(Fault("hang"))
    thread = threading.Thread(target=box.block_while_hung)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    box.clear()
    thread.join(scaled(2))
    assert not thread.is_alive()


def test_hang_of_a_path_does_not_block_the_thread() -> None:
    box = FaultBox("api")
    box.switch_on(Fault("hang", path="/dashboard"))
    thread = threading.Thread(target=box.block_while_hung, daemon=True)
    thread.start()
    thread.join(scaled(2))
    assert not thread.is_alive()


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.77.3.4", "::1"])
def test_loopback_peer_is_loopback(peer: str) -> None:
    assert is_loopback(peer)


@pytest.mark.parametrize("peer", ["10.0.0.1", "192.168.1.5", "8.8.8.8", "fe80::1", "localhost", "", None])
def test_other_peer_is_not_loopback(peer: str | None) -> None:
    assert not is_loopback(peer)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_foreign_peer_is_refused_and_changes_nothing(method: str) -> None:
    box = FaultBox("api")
    box.switch_on(Fault("slow"))
    status, _ = answer_admin(box, "10.0.0.1", method, "/_fault", b'{"kind":"hang"}')
    assert (status, box.get("hang"), box.get("slow")) == (403, None, Fault("slow"))


def test_admin_switches_shows_and_clears() -> None:
    box = FaultBox("api")
    box.count("policy_update")
    assert answer_admin(box, "127.0.0.1", "POST", "/_fault", b'{"kind":"slow"}')[0] == 200
    status, shown = answer_admin(box, "127.0.0.1", "GET", "/_fault", b"")
    fault = {"kind": "slow", "seconds": None, "delay_seconds": 2.0, "status": 503, "millicores": 0.0, "path": ""}
    expected = {"pid": os.getpid(), "component": "api", "faults": [fault], "counters": {"policy_update": 1}}
    assert (status, shown) == (200, expected)
    assert answer_admin(box, "127.0.0.1", "DELETE", "/_fault?kind=hang", b"")[1]["faults"] == [fault]
    assert answer_admin(box, "127.0.0.1", "DELETE", "/_fault", b"")[1]["faults"] == []


def test_admin_answers_400_to_an_unknown_kind() -> None:
    status, answer = answer_admin(FaultBox("api"), "127.0.0.1", "POST", "/_fault", b'{"kind":"explode"}')
    assert status == 400
    assert "wrong_answer" in str(answer["error"])
