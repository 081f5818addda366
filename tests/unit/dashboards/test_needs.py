"""The settings that an empty panel names exist, and are those of the collectors whose metrics it shows."""

from __future__ import annotations

import json
import types
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from dashboards.src.build import PAGES, render_page
from dashboards.src.needs import NEEDS, find_needs
from dashboards.src.panels import describe, explain_no_value
from exporter.collectors import discover
from exporter.settings import ExporterSettings

SETTINGS = sorted({setting for needs in NEEDS.values() for need in needs for setting in need})
COLLECTORS = {spec.name: spec for spec in discover()}


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections inside an annotation such as `tuple[Target, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in {Union, types.UnionType, tuple, list, dict, Annotated}:
        return [model for part in get_args(annotation) for model in _models(part)]
    return []


def _has(model: type[BaseModel], path: list[str]) -> bool:
    field = model.model_fields.get(path[0].removesuffix("[]"))
    if field is None:
        return False
    return len(path) == 1 or any(_has(inner, path[1:]) for inner in _models(field.annotation))


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_named_setting_exists(setting: str) -> None:
    first, *rest = setting.split(".")
    if first == "collectors":
        assert _has(COLLECTORS[rest[0]].settings, rest[1:])
    else:
        assert _has(ExporterSettings, [first, *rest])


def test_every_collector_that_is_shown_says_what_it_needs() -> None:
    for page in PAGES:
        for panel in page.panels:
            find_needs(query.expr for query in panel.queries)
    assert set(NEEDS) <= COLLECTORS.keys()


def test_an_empty_panel_names_its_settings_in_description_and_text() -> None:
    counted = 0
    for page in PAGES:
        found = [panel for panel in json.loads(render_page(page))["panels"] if panel["type"] != "row"]
        for panel, made in zip(page.panels, found, strict=True):
            assert made["description"] == describe(panel)
            assert made["fieldConfig"]["defaults"]["noValue"] == explain_no_value(panel)
            for need in find_needs(query.expr for query in panel.queries):
                counted += 1
                assert " or ".join(f"`{setting}`" for setting in need) in made["description"]
                assert " or ".join(need) in made["fieldConfig"]["defaults"]["noValue"]
    assert counted > 30


def test_the_settings_are_those_of_the_metrics_collectors() -> None:
    assert find_needs(["sum(rate(controlcore_redis_ping_duration_seconds_bucket[1m]))"]) == (("redis.url",),)
    assert find_needs(["controlcore_opal_up", "controlcore_opal_up"]) == NEEDS["opal"]
    assert find_needs(["controlcore_up", "controlcore_remediation_paused", "vector(1)"]) == ()
    assert find_needs(["controlcore:policy_denials:ratio_rate1d"]) == (("database.url",),)
    assert find_needs(["http_request_duration_seconds_bucket"]) == (("api.url",), ("guide_names",))


def test_a_panel_of_a_program_about_itself_says_which_one_is_not_scraped() -> None:
    texts = {panel.title: explain_no_value(panel) for page in PAGES for panel in page.panels}
    assert texts["Open remediations by state"] == "unknown: the remediator is not scraped"
    assert texts["Collection duration"] == "unknown: the exporter is not scraped"
    assert texts["Error budget: probes without a decision"].startswith("unknown: the rules are not loaded; needs bounc")


def test_settings_of_which_one_is_enough_are_not_all_asked_for() -> None:
    assert find_needs(["controlcore_tuning_drift"]) == (("database.url", "redis.url"),)
    assert find_needs(["controlcore_bouncer_up"]) == (("bouncers", "bouncer_discovery"),)
    assert find_needs(["controlcore_policy_parity"]) == (("bouncers[].opa_url",), ("database.url",))
    (kinds,) = find_needs(["controlcore_backup_last_success_timestamp_seconds"])
    assert {"collectors.backup.places", "collectors.backup.snapshot_file", "kubernetes"} == set(kinds)
