"""What all members of a sweep share."""

import dataclasses

from wayjax.config import AUTO, RunConfig
from wayjax.options import check_value


@dataclasses.dataclass(frozen=True)
class TrainSettings:
  """What all members of a sweep share; the defaults are the paper's.

  Attributes:
    steps: training steps of each member.
    lr: learning rate of the first step; it decays linearly to 0.
    batch_size: examples in a batch.
    members_at_once: members in one program; None means as many as fit the memory.
    eval_every: a dispatch ends at every multiple of this; 0 means wherever is convenient.

  Raises:
    WayjaxError: a value that is not allowed.
  """

  steps: int = 2000
  lr: float = 0.01
  batch_size: int = 8
  members_at_once: int | None = None
  eval_every: int = 0

  def __post_init__(self):
    rules = {field.name: field for field in dataclasses.fields(RunConfig)}
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      value = check_value(rules[field.name], value, field.name, unless=field.default)
      object.__setattr__(self, field.name, value)


def train_settings(config: RunConfig) -> TrainSettings:
  """What all members of a run share."""
  shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(TrainSettings)}
  if config.members_at_once == AUTO:
    shared["members_at_once"] = None
  return TrainSettings(**shared)
