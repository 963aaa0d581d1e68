"""wayjax: soft prompts that solve a task and read as any text you like.

The names below are loaded when they are first used, so that `--help` need not wait for jax.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
  "Evaluator": "evaluation",
  "RunConfig": "config",
  "TASKS": "tasks",
  "Target": "targets",
  "WayjaxError": "errors",
  "c_proj": "projection",
  "d_proj": "projection",
  "encode": "encoding",
  "evaluate": "evaluation",
  "get_task": "tasks",
  "load_data": "data",
  "load_lm": "models",
  "load_targets": "targets",
  "nearest_tokens": "projection",
  "prompt_f1": "metrics",
  "read_run": "results",
  "tune": "sweep",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
  if name not in _HOMES:
    raise AttributeError(f"module 'wayjax' has no attribute '{name}'")
  value = getattr(importlib.import_module(f"wayjax.{_HOMES[name]}"), name)
  globals()[name] = value
  return value
