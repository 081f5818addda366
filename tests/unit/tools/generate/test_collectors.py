"""Each file that lists collectors lists those that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remediations.core.queries import COLLECTORS
from tests.fakes.golden import read_generated
from tools.generate.collectors import PLACES, Place, collectors_that_need


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_committed_list_is_that_of_the_exporter(place: Place) -> None:
    text = read_generated(place.file)
    assert place.put(text) == text
    outdated = place.pattern.sub("redis_gone\n", text)
    assert outdated != text == place.put(outdated)


def test_collectors_that_need_a_store_are_those_that_do_not_start_without_it() -> None:
    assert "postgres_canary" in COLLECTORS
    redis, database = set(collectors_that_need("redis")), set(collectors_that_need("database"))
    assert {"redis", "redis_keys"} <= redis
    assert {"postgres_canary", "decisions"} <= database
    assert not redis & database
    assert not {"tuning", "api"} & (redis | database), "`tuning` runs with either store"


def test_list_that_is_no_longer_in_its_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="matches 0 times, not once"):
        Place("doors", tmp_path, re.compile("absent"), str).put("text")
