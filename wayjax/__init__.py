"""wayjax: soft prompts that solve a task and read as any text you like.

The names below are loaded when they are first used, so that `--help` need not wait for jax.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; a test keeps it equal to _HOMES
  from wayjax.cells import Margins as Margins
  from wayjax.certificate import cell_margin as cell_margin
  from wayjax.certificate import into_cell as into_cell
  from wayjax.config import RunConfig as RunConfig
  from wayjax.constraints import CONSTRAINTS as CONSTRAINTS
  from wayjax.constraints import Constraint as Constraint
  from wayjax.data.encoding import encode as encode
  from wayjax.data.examples import load_data as load_data
  from wayjax.data.frame import Frame as Frame
  from wayjax.data.frame import make_frame as make_frame
  from wayjax.data.targets import Target as Target
  from wayjax.data.targets import load_targets as load_targets
  from wayjax.data.tasks import TASKS as TASKS
  from wayjax.data.tasks import Task as Task
  from wayjax.data.tasks import get_task as get_task
  from wayjax.errors import WayjaxError as WayjaxError
  from wayjax.evaluation import Evaluator as Evaluator
  from wayjax.evaluation import evaluate as evaluate
  from wayjax.export.save import save_prompt as save_prompt
  from wayjax.generation.generate import Generation as Generation
  from wayjax.generation.generate import generate as generate
  from wayjax.generation.generator import Generator as Generator
  from wayjax.generation.sampling import Sampling as Sampling
  from wayjax.loss import c_dist as c_dist
  from wayjax.loss import wayward_loss as wayward_loss
  from wayjax.metrics import prompt_f1 as prompt_f1
  from wayjax.models import LanguageModel as LanguageModel
  from wayjax.models import load_lm as load_lm
  from wayjax.projection import c_proj as c_proj
  from wayjax.projection import d_proj as d_proj
  from wayjax.projection import nearest_tokens as nearest_tokens
  from wayjax.prompt_files import load_prompt as load_prompt
  from wayjax.prompts import SoftPrompt as SoftPrompt
  from wayjax.prompts import text_prompt as text_prompt
  from wayjax.readers import READERS as READERS
  from wayjax.readers import Reading as Reading
  from wayjax.results.folder import read_run as read_run
  from wayjax.tuning.members import TunedPrompt as TunedPrompt
  from wayjax.tuning.sweep import tune as tune

__version__ = "0.1.0"

_HOMES = {
  "CONSTRAINTS": "constraints",
  "Constraint": "constraints",
  "Evaluator": "evaluation",
  "Frame": "data.frame",
  "Generation": "generation.generate",
  "Generator": "generation.generator",
  "LanguageModel": "models",
  "Margins": "cells",
  "READERS": "readers",
  "Reading": "readers",
  "RunConfig": "config",
  "Sampling": "generation.sampling",
  "SoftPrompt": "prompts",
  "TASKS": "data.tasks",
  "Target": "data.targets",
  "Task": "data.tasks",
  "TunedPrompt": "tuning.members",
  "WayjaxError": "errors",
  "c_dist": "loss",
  "c_proj": "projection",
  "cell_margin": "certificate",
  "d_proj": "projection",
  "encode": "data.encoding",
  "evaluate": "evaluation",
  "generate": "generation.generate",
  "get_task": "data.tasks",
  "into_cell": "certificate",
  "load_data": "data.examples",
  "load_lm": "models",
  "load_prompt": "prompt_files",
  "load_targets": "data.targets",
  "make_frame": "data.frame",
  "nearest_tokens": "projection",
  "prompt_f1": "metrics",
  "read_run": "results.folder",
  "save_prompt": "export.save",
  "text_prompt": "prompts",
  "tune": "tuning.sweep",
  "wayward_loss": "loss",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
  if name not in _HOMES:
    raise AttributeError(f"module 'wayjax' has no attribute '{name}'")
  value = getattr(importlib.import_module(f"wayjax.{_HOMES[name]}"), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
