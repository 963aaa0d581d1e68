"""What a sweep needs to go on where it was cut off, as far as it is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from wayjax.errors import WayjaxError
from wayjax.members import Member
from wayjax.schedule import RowSize

if TYPE_CHECKING:
  from wayjax.checkpoint import Checkpoints  # Orbax takes long to import, and not all need it


@dataclasses.dataclass(frozen=True)
class Decision:
  """How the members of one padded prompt length are trained: what was found by measuring.

  Attributes:
    padded: the length.
    after: members of the whole sweep before the first that it holds for.
    members_at_once: members in one program.
    checkpointed: whether layers are computed anew in the backward pass, to save memory.
    sizes: the row sizes.
  """

  padded: int
  after: int
  members_at_once: int
  checkpointed: bool
  sizes: tuple[RowSize, ...]

  def to_json(self) -> dict:
    """As it stands in a run folder."""
    return dataclasses.asdict(self) | {"sizes": [size._asdict() for size in self.sizes]}

  @classmethod
  def from_json(cls, stored: dict) -> Decision:
    """Reads what `to_json` gave; raises WayjaxError where it is something else."""
    try:
      sizes = tuple(RowSize(**size) for size in stored["sizes"])
      return cls(**{**stored, "sizes": sizes})
    except (TypeError, KeyError) as error:
      raise WayjaxError(f"the run folder holds a decision that is none: {stored!r}") from error


def _ignore(*_) -> None:
  pass


@dataclasses.dataclass
class Recovery:
  """What earlier runs of a sweep left, and what this one leaves; nothing by default.

  Attributes:
    finished: keys of members that need no training.
    decisions: how members are trained, as it was decided before; new ones are added.
    checkpoints: where chunks in training are saved.
    stop: tells whether to stop as soon as nothing is lost by it.
    on_decision: called with all decisions after each new one.
    on_start: called with a chunk and the steps that it has done, before it is trained.
    say: shows a line.
  """

  finished: frozenset[str] = frozenset()
  decisions: list[Decision] = dataclasses.field(default_factory=list)
  checkpoints: Checkpoints | None = None
  stop: Callable[[], bool] = lambda: False
  on_decision: Callable[[list[Decision]], None] = _ignore
  on_start: Callable[[list[Member], int], None] = _ignore
  say: Callable[[str], None] = _ignore

  def decided(self, padded: int, after: int) -> Decision | None:
    """The decision that holds for members of this length, so many of the sweep before them."""
    fitting = [one for one in self.decisions if one.padded == padded and one.after <= after]
    return fitting[-1] if fitting else None

  def decide(self, decision: Decision) -> None:
    """Keeps a decision for the next time."""
    self.decisions.append(decision)
    self.on_decision(self.decisions)
