"""What is to be read or gone on with, and many of these as the programs read them.

Letters: P positions of a prompt, I the width between the layers, L positions of a sequence.
"""

import dataclasses

import jax
import numpy as np

from wayjax.data.frame import Frame
from wayjax.data.packing import PROMPT_MULTIPLE, pad_left, round_up
from wayjax.devices.sharding import place
from wayjax.generation.decoding import Sequences
from wayjax.models import LanguageModel
from wayjax.prompts import SoftPrompt

_LENGTH_MULTIPLE = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Patch:
  """Hidden states in place of a soft prompt (Patchscopes: Ghandeharioun et al., 2024).

  Attributes:
    ids_P: the tokens that stand there in the layers before.
    states_PxI: what stands there then, in the space between the layers.
    layer: after how many layers.
  """

  ids_P: np.ndarray
  states_PxI: np.ndarray
  layer: int

  def __len__(self) -> int:
    return len(self.ids_P)


@dataclasses.dataclass(frozen=True)
class Request:
  """One sequence to read or to go on with, a prompt and an input with their numbers."""

  prompt_number: int
  input_number: int
  prompt: SoftPrompt | Patch | None
  frame: Frame
  ids: np.ndarray

  @property
  def vectors(self) -> int:
    return 0 if self.prompt is None else len(self.prompt)

  def __len__(self) -> int:
    return self.frame.size + self.vectors + len(self.ids) + len(self.frame.reply_ids)

  def padded(self, length: int, vectors: int, width: int) -> Sequences:
    """As the program reads it, without the leading axis."""
    before, after = self.frame.before_ids, self.frame.after_ids
    patch = self.prompt if isinstance(self.prompt, Patch) else None
    under = [0] * self.vectors if patch is None else patch.ids_P.tolist()
    ids = np.array([*before, *under, *after, *self.ids, *self.frame.reply_ids], np.int32)
    soft_PxD = np.zeros((vectors, width), np.float32)
    if isinstance(self.prompt, SoftPrompt):
      soft_PxD[: self.vectors] = self.prompt.vectors_PxD
    states = {}
    if patch is not None:
      fill = vectors - self.vectors
      states["states_PxI"] = np.pad(np.float32(patch.states_PxI), [(0, fill), (0, 0)])
      states["layer"] = np.int32(patch.layer)
    return Sequences(
      ids_L=pad_left(ids, length),
      soft_PxD=soft_PxD,
      start=np.int32(length - len(ids) + len(before)),
      vectors=np.int32(self.vectors),
      length=np.int32(len(ids)),
      prompt=np.int32(self.prompt_number),
      input=np.int32(self.input_number),
      live=np.bool_(True),
      **states,
    )


class Batches:
  """Requests as a program reads them, padded on their left to the sizes of the largest.

  Args:
    lm: the frozen language model.
    requests: the requests, at least one.
  """

  def __init__(self, lm: LanguageModel, requests: list[Request]):
    self._lm = lm
    self._length = round_up(max(map(len, requests)), _LENGTH_MULTIPLE)
    self._vectors = round_up(max(1, *(request.vectors for request in requests)), PROMPT_MULTIPLE)

  def one(self, request: Request) -> Sequences:
    """One request, without the leading axis."""
    return request.padded(self._length, self._vectors, self._lm.width)

  def of(self, requests: list[Request], size: int) -> Sequences:
    """Some requests on the devices, filled up with dead ones to at least `size`."""
    padded = list(map(self.one, requests))
    dead = padded[0]._replace(live=np.bool_(False))
    filled = padded + [dead] * (self._lm.layout.rounded(size) - len(padded))
    return place(jax.tree.map(lambda *x: np.stack(x), *filled), self._lm.layout.members())
