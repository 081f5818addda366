"""The intended scope of a pause: everything, one policy or one target, so that it never stops more or less."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from remediations.core.model.facts import Pause
from remediations.core.policies.policy import PolicySet

OTHER = "give a pause of everything another name"


def find_policy(policy_set: PolicySet, text: str) -> str:
    """The policy of this name; raises ValueError with the existing names."""
    return _find("policy", text, (policy.name for policy in policy_set.policies))


def find_target(policy_set: PolicySet, text: str) -> str:
    """The key of the target that a policy lists, from Kind/namespace/name or its end; raises ValueError."""
    fitting = fitting_targets(policy_set, text)
    return fitting[0] if len(fitting) == 1 else _find("target", text, fitting_targets(policy_set, ""))


def fitting_targets(policy_set: PolicySet, text: str) -> tuple[str, ...]:
    """The keys of the targets, including those of ladders, that are this text or end with `/` and it; empty: all."""
    targets = {target for policy in policy_set.policies for target in policy.targets}
    targets |= {target for policy in policy_set.policies for rung in policy.ladder for target in rung.targets}
    return tuple(sorted(item.key for item in targets if not text or f"/{item.key}".endswith(f"/{text}")))


def require_meant(policy_set: PolicySet, name: str) -> None:
    """Raises ValueError if a pause of everything has the name of a policy or target, or nearly that of a policy."""
    policies = [policy.name for policy in policy_set.policies]
    if name in policies or "/" in name or fitting_targets(policy_set, name):
        raise ValueError(f"{name} looks like a policy or target: name it as such, or {OTHER}")
    close = get_close_matches(name, policies, n=1, cutoff=0.8)
    if close:
        raise ValueError(f"there is no policy {name}; did you mean {close[0]}? Or {OTHER}")


def find_mismatch(policy_set: PolicySet, pause: Pause) -> str:
    """Why the pause has no effect: no policy has its name or lists its target (any more). Empty if it has one."""
    if pause.policy and policy_set.named(pause.policy) is None:
        close = get_close_matches(pause.policy, [policy.name for policy in policy_set.policies], n=1)
        return f"there is no policy {pause.policy}" + (f" (is it {close[0]} now?)" if close else "")
    if pause.target and pause.target not in fitting_targets(policy_set, ""):
        return f"no policy has the target {pause.target}"
    return ""


def _find(kind: str, text: str, known: Iterable[str]) -> str:
    """The name itself when it is known."""
    names = sorted(known)
    if text in names:
        return text
    close = get_close_matches(text, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(f"there is no {kind} {text}; {hint}there are: {', '.join(names) or 'none'}")
