"""Contender (a): the released protocol of "Prompt Waywardness", written afresh in PyTorch.

Every sequence is padded to the task's greatest length, the prompt is repeated for each of them, and
the head scores the whole vocabulary at every position; one prompt at a time, in float32. Array
names end in their dimensions: B batch, T text tokens with padding, S positions that the model reads
(H + T - 1), D width, V vocabulary, P prompt tokens, H those and the tokens before them.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional
from transformers import GPT2LMHeadModel

from experiments.benchmark.torch_training import (
  Contender,
  Sequence,
  measure_contender,
  pad_right,
  torch_device,
)
from experiments.benchmark.work import Work


class Batch(NamedTuple):
  """Padded sequences; position s of the model predicts `targets_BxS[:, s]`."""

  ids_BxT: torch.Tensor
  attended_BxS: torch.Tensor
  targets_BxS: torch.Tensor
  scored_BxS: torch.Tensor


class Released(Contender):
  """The model reads prompt and padded text as embeddings and is scored under a mask.

  Args:
    work: the model and the initial prompt.
    max_length: text tokens that every sequence is padded to.
    device: where to compute.
  """

  sequences_at_once = 8

  def __init__(self, work: Work, max_length: int, device: torch.device):
    self.device, self._max_length = device, max_length + work.frame.size
    model = GPT2LMHeadModel.from_pretrained(work.model_dir, dtype=torch.float32)
    self._model = model.requires_grad_(False).to(device)
    self._embed = self._model.get_input_embeddings()
    self.prompts = [torch.nn.Parameter(self._embed.weight[work.prompt_ids].clone())]
    before = torch.tensor(work.frame.before_ids, dtype=torch.long, device=device)
    self._before_BxD = self._embed(before).detach()

  def collate(self, sequences: list[Sequence]) -> Batch:
    prompt_tokens = len(self._before_BxD) + len(self.prompts[0])
    positions = prompt_tokens + self._max_length - 1
    ids_BxT = pad_right([np.concatenate(sequence) for sequence in sequences], self._max_length)
    lengths_B = np.array([len(prefix) + len(candidate) for prefix, candidate in sequences])
    starts_B = np.array([prompt_tokens + len(prefix) - 1 for prefix, _ in sequences])
    # Position P - 1, the prompt's last, predicts the first text token; those before, nothing.
    targets_BxS = np.pad(ids_BxT, ((0, 0), (prompt_tokens - 1, 0)))
    at_S = np.arange(positions)
    attended_BxS = at_S < prompt_tokens + lengths_B[:, None]
    ends_B = prompt_tokens + lengths_B - 1
    scored_BxS = (at_S >= starts_B[:, None]) & (at_S < ends_B[:, None])
    arrays = ids_BxT, attended_BxS.astype(np.int64), targets_BxS, scored_BxS.astype(np.float32)
    return Batch(*(torch.from_numpy(array).to(self.device) for array in arrays))

  def losses(self, batch: Batch) -> torch.Tensor:
    # The last token is only ever predicted.
    text_BxTxD = self._embed(batch.ids_BxT[:, :-1])
    shared_HxD = torch.cat([self._before_BxD, *self.prompts])
    shared_BxHxD = shared_HxD.expand(len(text_BxTxD), -1, -1)
    logits_BxSxV = self._model(
      inputs_embeds=torch.cat([shared_BxHxD, text_BxTxD], 1),
      attention_mask=batch.attended_BxS,
      use_cache=False,
    ).logits
    losses_BxS = functional.cross_entropy(
      logits_BxSxV.flatten(0, 1), batch.targets_BxS.flatten(), reduction="none"
    ).view_as(batch.targets_BxS)
    losses_B = (losses_BxS * batch.scored_BxS).sum(1) / batch.scored_BxS.sum(1)
    return losses_B[None]


def measure(work: Work, dataset_name: str, device: str) -> dict:
  """Checks and times the released protocol on one dataset.

  Args:
    work: what all contenders are measured on.
    dataset_name: one of the work's datasets.
    device: `cpu` or `gpu`.

  Returns:
    The measurements that `measure_contender` describes.
  """
  max_length = work.datasets[dataset_name].max_length
  contender = Released(work, max_length, torch_device(device))
  return measure_contender(contender, work, dataset_name)
