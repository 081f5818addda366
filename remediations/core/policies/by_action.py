"""The requirements of an action for its policy or rung: targets, parameters and witnesses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo

from chassis.errors import not_allowed
from remediations.core import actions
from remediations.core.action import ActionSpec, Effect
from remediations.core.fields import Found, OneOf, Several, Unique, refuse
from remediations.core.model.alert import Target

DATABASES = frozenset({"postgres", "postgresql", "redis"})


def spec_of(info: ValidationInfo) -> ActionSpec | None:
    """The action of the section that is being read; None if its name is wrong or missing, which is a separate fault."""
    return actions.offered().get(str(info.data.get("action")))


def _fit(targets: tuple[Target, ...], info: ValidationInfo) -> tuple[Target, ...]:
    """Targets that the action can act on; raises ValidationError."""
    spec = spec_of(info)
    refuse(_find_foreign(targets, spec) if spec is not None else ())
    return targets


def _find_foreign(targets: tuple[Target, ...], spec: ActionSpec) -> Iterator[Found]:
    """Targets that the action cannot or must not act on."""
    for index, target in enumerate(targets):
        if target.kind not in spec.kinds:
            yield (index, "kind"), not_allowed(target.kind, spec.kinds)
        if Effect.PATCHES_WORKLOAD in spec.effects and DATABASES & set(re.split(r"[-.]", target.name)):
            yield (index,), f"{target.name!r}: PostgreSQL and Redis are never restarted or scaled"


def _read_parameters(value: Any, info: ValidationInfo) -> Mapping[str, Any]:
    """The parameters as the action's file declares them, defaults filled in; raises ValidationError."""
    spec = spec_of(info)
    return {} if spec is None else spec.read_parameters(value)


ActionName = Annotated[str, OneOf(actions.offered)]
Targets = Annotated[Several[Target], Unique(), AfterValidator(_fit)]
ActionParameters = Annotated[
    Mapping[str, Any],
    PlainValidator(_read_parameters, json_schema_input_type=dict[str, Any]),
    Field(validate_default=True),
]
