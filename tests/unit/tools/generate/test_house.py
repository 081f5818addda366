"""The house keeps its figures, and its pictures follow the import contracts."""

from __future__ import annotations

import re

import pytest

from tests.fakes.golden import read_generated
from tools.generate import house

NAMED = re.compile(r"`((?:chassis|exporter|remediations|tools|tests|docs)/[\w/.]+)`")


def test_no_folder_has_more_entries_than_one_can_look_over() -> None:
    entries, folder = house.largest_folders(1)[0]
    assert entries <= house.MAX_ENTRIES, folder


def test_imports_make_no_circle() -> None:
    assert house.file_circles() == []
    assert house.folder_circles() == []


def test_circle_is_found_where_there_is_one() -> None:
    assert house.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
    assert house.circles({"a": {"b", "c"}, "b": {"c"}}) == []


def test_one_class_name_means_one_thing() -> None:
    assert house.defined_twice() == {}


def test_functions_of_the_remediator_say_what_they_do() -> None:
    assert house.saying_nothing() == []


@pytest.mark.parametrize("path", sorted(house.pictures()), ids=lambda path: path.stem)
def test_picture_is_what_the_contract_says(path) -> None:
    assert read_generated(path) == house.pictures()[path]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_path_that_a_page_names_exists(page: str) -> None:
    text = (house.ROOT / page).read_text(encoding="utf-8")
    named = [name for name in NAMED.findall(text) if "NAME" not in name]
    assert named
    assert [name for name in named if not (house.ROOT / name).exists()] == []
