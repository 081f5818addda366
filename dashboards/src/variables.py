"""The choices at the top of a dashboard. Each starts with "All", which also matches series without the label."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models import dashboard as model

from dashboards.src.scope import ENVIRONMENT_LABEL, TARGET_MATCHERS
from exporter.commands.doctor.shipped import ANYTHING

DATASOURCE = model.DataSourceRef("prometheus", "${datasource}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice among the values of a label of a metric."""

    name: str
    label: str
    """The label of the choice."""
    metric: str
    """Empty where the matchers name it."""
    label_name: str
    """The label whose values are offered."""
    matchers: str
    """The series that are queried, with the earlier choices."""
    all_value: str = ""
    """The value of "All"; without it, all offered values."""

    @property
    def selector(self) -> str:
        """The series whose labels are offered."""
        return f"{self.metric}{{{self.matchers}}}"


_PROGRAMS = '__name__=~"controlcore_up|controlcore_remediation_journal_writable"'
"""One series of each program: exporter and remediator have separate jobs, and perhaps namespaces."""
CLUSTER = Variable("cluster", "Cluster", "", "cluster", _PROGRAMS, ANYTHING)
NAMESPACE = Variable("namespace", "Namespace", "", "namespace", f'{_PROGRAMS}, cluster=~"$cluster"', ANYTHING)
JOB = Variable("job", "Job", "", "job", f'{_PROGRAMS}, cluster=~"$cluster", namespace=~"$namespace"', ANYTHING)
ENVIRONMENT = Variable(
    "environment", "Environment", "controlcore_bouncer_up", ENVIRONMENT_LABEL, TARGET_MATCHERS, ANYTHING
)
BOUNCER = Variable(
    "bouncer",
    "Bouncer",
    "controlcore_bouncer_up",
    "bouncer",
    f'{TARGET_MATCHERS}, {ENVIRONMENT_LABEL}=~"$environment"',
)
"""Without its own value for "All": all bouncers are then those of the chosen environment."""


def build_variable(variable: Variable) -> QueryVariable:
    """The variable: several values may be chosen, and the list follows the time range."""
    builder = (
        QueryVariable(variable.name)
        .label(variable.label)
        .datasource(DATASOURCE)
        .query(f"label_values({variable.selector}, {variable.label_name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )
    return builder.all_value(variable.all_value) if variable.all_value else builder
