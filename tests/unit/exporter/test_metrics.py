from __future__ import annotations

from exporter.metrics import Counter, Kind, Metric, Sample

THINGS = Metric("things_total", "x", Kind.COUNTER, labels=("kind",))


def test_counter_gives_the_same_family_until_it_changes() -> None:
    """The same object is neither compared nor rendered again."""
    counter = Counter(THINGS).initialise([("a",)])
    before = counter.family()
    counter.add(("a",), 0)
    assert counter.family() is before
    counter.add(("a",), 2)
    assert counter.family().samples == (Sample(("a",), 2.0),)


def test_every_change_of_a_counter_is_seen() -> None:
    counter = Counter(THINGS)
    seen = [counter.family().samples]
    for change in (
        lambda: counter.initialise([("a",), ("b",)]),
        lambda: counter.add(("c",), 0),
        lambda: counter.add(("a",)),
        lambda: counter.forget("b"),
    ):
        change()
        seen.append(counter.family().samples)
    assert [{sample.labels[0]: sample.value for sample in samples} for samples in seen] == [
        {},
        {"a": 0, "b": 0},
        {"a": 0, "b": 0, "c": 0},
        {"a": 1, "b": 0, "c": 0},
        {"a": 1, "c": 0},
    ]
