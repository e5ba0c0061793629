"""Names that recipes had before: files, run folders, checkpoints and `--set` may still use them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["KEYS", "STEPS", "current", "current_key"]

KEYS: Mapping[str, str] = {
    "network.initialisation": "network.initialization",
    "optimizer.bias_rate": "optimizer.bias_lr_mult",
    "optimizer.last_layer_rate": "optimizer.last_layer_lr_mult",
    "schedule.drops": "schedule.milestones",
    "schedule.warm_up": "schedule.warmup",
    "schedule.average": "schedule.ema_decay",
}
STEPS: Mapping[str, str] = {"standardise": "standardize"}
"""Of the preprocessing."""


def current_key(key: str) -> str:
    """Return the name that `section.key` has now."""
    return KEYS.get(key, key)


def current(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's `table` with the names of now; if both names of a key are given, the old one stays."""
    renamed = {name: _section(name, value) if isinstance(value, Mapping) else value for name, value in table.items()}
    steps = renamed.get("preprocessing")
    if isinstance(steps, list | tuple):
        renamed["preprocessing"] = [STEPS.get(step, step) if isinstance(step, str) else step for step in steps]
    return renamed


def _section(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    now = {key: current_key(f"{name}.{key}").removeprefix(f"{name}.") for key in values}
    return {key if now[key] in values else now[key]: value for key, value in values.items()}
