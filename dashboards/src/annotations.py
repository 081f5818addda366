"""Lines across every panel: when an alert fired, and when something was repaired."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from dashboards.src.scope import scope
from dashboards.src.variables import DATASOURCE

STEP_SECONDS = 60
ALERTS = 'ALERTS{alertstate="firing", alertname=~"ControlCore.*", alertname!="ControlCoreWatchdog"}'
_ACTIONS = "controlcore_remediation_actions_total"
REMEDIATIONS = f"sum by (remediation, action, outcome) (({_ACTIONS} - {_ACTIONS} offset {STEP_SECONDS}s) > 0)"
"""The offset is the annotation's step: each write and each verdict makes one mark. `increase` over the step needs two
samples in it, so it would see nothing where Prometheus scrapes once a minute."""


class _PrometheusMark(model.AnnotationQuery):
    """The SDK's annotation and what the Prometheus data source adds to it: title, text and step."""

    title_format: str = ""
    text_format: str = ""

    def to_json(self) -> dict[str, object]:
        """Grafana's JSON."""
        texts = {"titleFormat": self.title_format, "textFormat": self.text_format, "step": f"{STEP_SECONDS}s"}
        return {**super().to_json(), **texts}


@dataclass(frozen=True, slots=True)
class Mark(Builder[model.AnnotationQuery]):
    """A mark at the times where the expression has a series."""

    name: str
    promql: str
    colour: str
    title: str
    text: str

    def build(self) -> model.AnnotationQuery:
        """The annotation in Grafana's model."""
        mark = _PrometheusMark(
            name=self.name, datasource=DATASOURCE, enable=True, icon_color=self.colour, expr=scope(self.promql)
        )
        mark.title_format, mark.text_format = self.title, self.text
        return mark
