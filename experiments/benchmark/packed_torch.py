"""Contender (c): what packing alone brings, M prompts at once in plain PyTorch.

A row is wayjax's: the prompt is computed once a batch, the examples follow it without padding, all
classes share their text, and the head runs at scored tokens only. Attention alone needs rectangles:
its queries see the prompt and their own example, padded to the longest. Array names end in their
dimensions: M prompts, B examples, L tokens of the longest, K keys (H + L), T text tokens, H those
before and the prompt, S = H + T, D width, V vocabulary, A heads, R scored tokens.
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
import torch
from torch.nn import functional
from transformers import GPT2LMHeadModel

from experiments.benchmark.peft_tuning import FUSED_GELU
from experiments.benchmark.torch_training import (
  Contender,
  Sequence,
  measure_contender,
  torch_device,
)
from experiments.benchmark.work import Work
from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples


class Batch(NamedTuple):
  """Packed examples, and their scored tokens.

  Attributes:
    ids_T: text tokens that are read.
    positions_S: position numbers; those of each candidate begin where its text ends.
    rectangle_BxL: where each token of an example is in T; padding points at the first.
    slots_T: where each token is in the rectangle (B * L).
    visible_Bx1xLxK: which of the keys (H + L) a query sees.
    previous_R: the position in S before each scored token.
    targets_R: the scored tokens.
    sequences_R: the sequence, an example with a candidate, of each scored token.
    weights_R: one over the number of scored tokens of the sequence.
    sequences: how many there are.
  """

  ids_T: torch.Tensor
  positions_S: torch.Tensor
  rectangle_BxL: torch.Tensor
  slots_T: torch.Tensor
  visible_Bx1xLxK: torch.Tensor
  previous_R: torch.Tensor
  targets_R: torch.Tensor
  sequences_R: torch.Tensor
  weights_R: torch.Tensor
  sequences: int


class PackedTorch(Contender):
  """GPT-2 with attention of its own for packed rows.

  Args:
    work: the model and the initial prompt.
    device: where to compute.
    members: M.
  """

  sequences_at_once = 32

  def __init__(self, work: Work, device: torch.device, members: int):
    self.device = device
    model = GPT2LMHeadModel.from_pretrained(
      work.model_dir, dtype=torch.float32, activation_function=FUSED_GELU
    )
    self._model = model.requires_grad_(False).to(device).transformer
    self._heads = model.config.n_head
    self._table_VxD = self._model.wte.weight
    start_PxD = self._table_VxD[work.prompt_ids]
    self.prompts = [torch.nn.Parameter(start_PxD.clone()) for _ in range(members)]
    self._before_BxD = self._table_VxD[list(work.frame.before_ids)]
    self._shared = len(work.frame.before_ids) + len(start_PxD)

  def collate(self, sequences: list[Sequence]) -> Batch:
    prefixes, candidates = zip(*sequences)
    count = len(sequences)
    # As answers of their own, so that each example is followed by one candidate.
    return self._pack(EncodedExamples(prefixes, candidates, np.arange(count), ("",) * count))

  def collate_all(self, examples: EncodedExamples) -> tuple[list[Batch], np.ndarray]:
    classes = len(examples.candidates)
    at_once = max(1, self.sequences_at_once // classes)
    order = np.argsort([-len(prefix) for prefix in examples.prefixes], kind="stable")
    batches = []
    for start in range(0, len(order), at_once):
      rows = order[start : start + at_once]
      prefixes = tuple(examples.prefixes[i] for i in rows)
      batches.append(
        self._pack(dataclasses.replace(examples, prefixes=prefixes, labels=examples.labels[rows]))
      )
    return batches, (order[:, None] * classes + np.arange(classes)).ravel()

  def _pack(self, examples: EncodedExamples) -> Batch:
    """Packs examples with all that is scored of them as wayjax does, in one row without padding."""
    scored = [examples.scored(i) for i in range(len(examples))]
    lengths_B = np.array(
      [
        len(prefix) + sum(len(candidate) - 1 for candidate in candidates)
        for prefix, candidates in zip(examples.prefixes, scored)
      ]
    )
    row, slots = jax.tree.map(
      lambda x: x[0], packing.pack_evaluation(examples, int(lengths_B.sum()), 1)
    )
    at_L, starts_B = np.arange(lengths_B.max()), np.cumsum(lengths_B) - lengths_B
    real_BxL = at_L < lengths_B[:, None]
    rectangle_BxL = np.where(real_BxL, starts_B[:, None] + at_L, 0)
    parts_BxL = np.where(real_BxL, row.candidates_T[rectangle_BxL], -1)
    own_BxLxL = (parts_BxL[:, None] == 0) | (parts_BxL[:, None] == parts_BxL[:, :, None])
    own_BxLxL &= real_BxL[:, None] & (at_L <= at_L[:, None])
    visible_BxLxK = np.pad(own_BxLxL, ((0, 0), (0, 0), (self._shared, 0)), constant_values=True)
    arrays = (
      *(row.ids_T, np.concatenate([np.arange(self._shared), self._shared + row.offsets_T])),
      *(rectangle_BxL, np.flatnonzero(real_BxL), visible_BxLxK[:, None]),
      # What precedes the text, -1 in wayjax's rows, is the last position of the prompt here.
      *(self._shared + row.previous_R, row.labels_R),
      *(slots.examples_NxR * len(scored[0]) + slots.classes_NxR, row.weights_R),
    )
    arrays = (array.astype(np.int64) if array.dtype == np.int32 else array for array in arrays)
    tensors = (torch.from_numpy(array).to(self.device) for array in arrays)
    return Batch(*tensors, sequences=sum(map(len, scored)))

  def losses(self, batch: Batch) -> torch.Tensor:
    members, model = len(self.prompts), self._model
    before_MxBxD = self._before_BxD.expand(members, -1, -1)
    text_MxTxD = self._table_VxD[batch.ids_T].expand(members, -1, -1)
    h_MxSxD = torch.cat([before_MxBxD, torch.stack(self.prompts), text_MxTxD], 1)
    h_MxSxD = h_MxSxD + model.wpe.weight[batch.positions_S]
    for block in model.h:
      attended_MxSxD = self._attend(block.attn.c_attn(block.ln_1(h_MxSxD)), batch)
      h_MxSxD = h_MxSxD + block.attn.c_proj(attended_MxSxD)
      h_MxSxD = h_MxSxD + block.mlp(block.ln_2(h_MxSxD))
    h_MxRxD = model.ln_f(h_MxSxD.index_select(1, batch.previous_R))
    logits = functional.linear(h_MxRxD, self._table_VxD).flatten(0, 1)
    losses = functional.cross_entropy(logits, batch.targets_R.repeat(members), reduction="none")
    losses_MxR = losses.view(members, -1) * batch.weights_R
    return losses_MxR.new_zeros(members, batch.sequences).index_add(
      1, batch.sequences_R, losses_MxR
    )

  def _attend(self, qkv_MxSx3D: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Attention of the shared positions to one another, and of text to them and its example."""
    members, heads, shared = len(self.prompts), self._heads, self._shared
    examples, longest = batch.rectangle_BxL.shape
    q, k, v = (
      x.view(members, x.shape[1], heads, -1).transpose(1, 2)  # M, A, S, D of a head
      for x in qkv_MxSx3D.split(qkv_MxSx3D.shape[2] // 3, 2)
    )
    first = functional.scaled_dot_product_attention(
      *(x[:, :, :shared] for x in (q, k, v)), is_causal=True
    )

    def padded(x: torch.Tensor) -> torch.Tensor:  # B, M * A, L, D of a head
      x = x[:, :, shared:].flatten(0, 1).index_select(1, batch.rectangle_BxL.flatten())
      return x.unflatten(1, (examples, longest)).transpose(0, 1)

    def with_shared(x: torch.Tensor) -> torch.Tensor:  # B, M * A, H + L, D of a head
      before = x[:, :, :shared].flatten(0, 1).expand(examples, -1, -1, -1)
      return torch.cat([before, padded(x)], 2)

    text = functional.scaled_dot_product_attention(
      padded(q), with_shared(k), with_shared(v), attn_mask=batch.visible_Bx1xLxK
    )
    text = text.transpose(0, 1).flatten(1, 2).index_select(1, batch.slots_T)
    out = torch.cat([first, text.unflatten(0, (members, heads))], 2)
    return out.transpose(1, 2).flatten(2)


def measure(work: Work, dataset_name: str, device: str, members: int = 1) -> dict:
  """Checks and times packed training in PyTorch on one dataset.

  Args:
    work: what all contenders are measured on.
    dataset_name: one of the work's datasets.
    device: `cpu` or `gpu`.
    members: M.

  Returns:
    The measurements that `measure_contender` describes.
  """
  return measure_contender(PackedTorch(work, torch_device(device), members), work, dataset_name)
