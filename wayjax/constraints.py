"""How a prompt is held to its text: one entry in CONSTRAINTS for each way.

A constraint is written for ONE member. Each has its own compiled program; gamma, the target and
what `prepare` makes of it are inputs of that program. To add one, write its functions here and name
it in CONSTRAINTS: `--constraint` then takes it, keys and rows name it, and reports keep it apart.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wayjax.config import C_DIST
from wayjax.errors import WayjaxError
from wayjax.loss import weighted_c_dist


def nothing(target_ids, table_VxD) -> tuple:
  """Prepares nothing: the target's embeddings are enough."""
  return ()


def unchanged(prompt_PxD, target_PxD, mask_P, held, table_VxD):
  """Projects to where the prompt is: a constraint that only penalises."""
  return prompt_PxD


class Constraint(NamedTuple):
  """How prompts are held to their texts.

  Attributes:
    penalty: `(prompt_PxD, target_PxD, mask_P, held, gamma)` -> what is added to cross-entropy.
    project: `(prompt_PxD, target_PxD, mask_P, held, table_VxD)` -> (P, D), the prompt after each
      optimiser step.
    prepare: `(target_ids, table_VxD)` -> `held`, a tree of NumPy arrays whose first axis is P;
      computed once a target, on the host, and padded on the left as prompts are.
  """

  penalty: Callable
  project: Callable = unchanged
  prepare: Callable[[np.ndarray, np.ndarray], object] = nothing


def _penalise_c_dist(prompt_PxD, target_PxD, mask_P, held, gamma):
  return weighted_c_dist(prompt_PxD, target_PxD, mask_P, gamma)


CONSTRAINTS: dict[str, Constraint] = {
  # The paper's penalty, gamma * c-dist (Eq. 5); with gamma 0 the prompt is unconstrained.
  C_DIST: Constraint(_penalise_c_dist),
}


def get_constraint(name: str) -> Constraint:
  """The constraint of that name.

  Raises:
    WayjaxError: there is none.
  """
  if name not in CONSTRAINTS:
    raise WayjaxError(f"unknown constraint '{name}': choose one of {', '.join(CONSTRAINTS)}")
  return CONSTRAINTS[name]
