"""Real policy engines of both environments, each with the modules that the product's repository has for it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tools.servers.opa import OpaServer
from tools.standin.policy import bouncer

CANARY = (Path(bouncer.__file__).with_name("policy.rego")).read_text(encoding="utf-8")
MODULES = {"sandbox": (1, 2, 3), "production": (1, 3)}
"""The enabled policies of seed.sql by environment; 1 and 3 are promoted."""


def module_id(environment: str, policy: int) -> str:
    """The path of a policy's file in the product's repository, by which OPAL names it in OPA."""
    return f"policies/orders/{environment}/enabled/policy_{policy}.rego"


def opened_engines(stack: ExitStack) -> dict[str, OpaServer]:
    """An engine for each environment with its modules; they end with the stack."""
    engines = {}
    for environment, policies in MODULES.items():
        engine = engines[environment] = stack.enter_context(OpaServer())
        for policy in policies:
            rego = CANARY if policy == 1 else f"package controlcore.policies.policy_{policy}\n"
            engine.put_policy(module_id(environment, policy), rego)
    return engines
