"""Held-out loss of the demo model, by corpus.

Array names end in their dimensions: N tokens, W windows, T tokens of a window.
"""

import dataclasses
import math

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from experiments.pretrain_demo.data import HeldOut
from experiments.pretrain_demo.training import token_losses

_WINDOWS_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Loss:
  """How well a corpus's held-out documents are predicted.

  Attributes:
    nats: in all.
    tokens: predicted tokens, ends of documents included.
    bytes: of the documents.
    documents: how many.
  """

  nats: float
  tokens: int
  bytes: int
  documents: int

  @property
  def per_token(self) -> float:
    """Nats a token."""
    return self.nats / self.tokens

  @property
  def bits_per_byte(self) -> float:
    """Bits a byte of text."""
    return self.nats / math.log(2) / self.bytes


@torch.no_grad()
def held_out_losses(
  model: GPT2LMHeadModel, held_out: dict[str, HeldOut], positions: int
) -> dict[str, Loss]:
  """The loss on every corpus's held-out documents, in windows of `positions` tokens."""
  return {
    name: Loss(_nats(model, part.ids_N, positions), len(part.ids_N) - 1, part.bytes, part.documents)
    for name, part in held_out.items()
  }


def overall(losses: dict[str, Loss]) -> Loss:
  """All corpora's held-out documents taken together."""
  parts = [dataclasses.astuple(loss) for loss in losses.values()]
  return Loss(*map(sum, zip(*parts, strict=True)))


def _nats(model: GPT2LMHeadModel, ids_N: np.ndarray, positions: int) -> float:
  ids_N = ids_N.astype(np.int64)
  whole = (len(ids_N) - 1) // positions
  # Windows share a token: the last of one is the first, unpredicted, of the next.
  windows_WxT = np.stack([ids_N[i * positions :][: positions + 1] for i in range(whole)] or [[]])
  batches = [windows_WxT[i : i + _WINDOWS_AT_ONCE] for i in range(0, whole, _WINDOWS_AT_ONCE)]
  if len(rest_T := ids_N[whole * positions :]) > 1:
    batches.append(rest_T[None])
  return sum(
    token_losses(model, torch.from_numpy(batch_WxT)).double().sum().item() for batch_WxT in batches
  )
