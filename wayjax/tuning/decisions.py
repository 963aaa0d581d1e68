"""What a sweep decides by measuring, kept so that a resumed run decides the same."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable

from wayjax.config import C_DIST
from wayjax.errors import WayjaxError, reason
from wayjax.results import schema
from wayjax.tuning.batches import RowSize


@dataclasses.dataclass(frozen=True)
class Decision:
  """How the members of one group are trained: what was found by measuring.

  Attributes:
    padded: the length that their prompts are padded to.
    after: members of the whole sweep before the first that it holds for.
    members_at_once: members in one program.
    remat: whether layers are computed again in the backward pass.
    sizes: the row sizes.
    constraint: how their prompts are held to their targets.
    paddings: what the prompts of the whole sweep are padded to, shortest first; empty for each
      multiple of 8, as earlier versions padded them.
  """

  padded: int
  after: int
  members_at_once: int
  remat: bool
  sizes: tuple[RowSize, ...]
  constraint: str = C_DIST
  paddings: tuple[int, ...] = ()

  def to_json(self) -> dict:
    """As a run folder holds it."""
    stored = dataclasses.asdict(self) | {"sizes": [size._asdict() for size in self.sizes]}
    if paddings := stored.pop("paddings"):  # else earlier versions can read it, too
      stored["paddings"] = list(paddings)
    stored["checkpointed"] = stored.pop("remat")  # the name that earlier versions wrote and read
    return stored

  @classmethod
  def from_json(cls, stored: dict) -> "Decision":
    """Reads what `to_json` returned; raises WayjaxError where it is something else."""
    where = "the run folder's decision"
    try:
      known = dict(stored)
      remat = known.pop("checkpointed")
      schema.check(known | {"remat": remat}, cls, where)
      known["sizes"] = tuple(RowSize(**size) for size in known["sizes"])
      known["paddings"] = tuple(known.get("paddings", ()))
      decision = cls(remat=remat, **known)
    except (TypeError, ValueError, KeyError) as error:
      raise WayjaxError(f"{where} is damaged: {reason(error)}") from error
    positive = [decision.padded, decision.members_at_once, *decision.paddings]
    positive += [size.text for size in decision.sizes]
    counts = [decision.after, *(count for size in decision.sizes for count in size)]
    ascending = all(one < other for one, other in itertools.pairwise(decision.paddings))
    if min(positive) < 1 or min(counts) < 0 or not decision.sizes or not ascending:
      raise WayjaxError(f"{where} is damaged: a number is out of range")
    return decision


class Decisions:
  """What has been decided of a sweep, so that a run that is resumed decides the same.

  Args:
    known: what earlier runs decided, in that order.
    on_new: called with all decisions after each new one.
  """

  def __init__(
    self,
    known: Iterable[Decision] = (),
    on_new: Callable[[list[Decision]], None] = lambda decisions: None,
  ):
    self._all, self._on_new = list(known), on_new

  @property
  def paddings(self) -> tuple[int, ...] | None:
    """As in `Decision`; None where nothing is decided yet."""
    return self._all[0].paddings if self._all else None

  def find(self, padded: int, constraint: str, after: int) -> Decision | None:
    """What holds for members of this length and constraint, with so many of the sweep before."""
    fitting = [
      decision
      for decision in self._all
      if (decision.padded, decision.constraint) == (padded, constraint) and decision.after <= after
    ]
    return fitting[-1] if fitting else None

  def add(self, decision: Decision) -> None:
    """Keeps a decision for the next time."""
    self._all.append(decision)
    self._on_new(self._all)
