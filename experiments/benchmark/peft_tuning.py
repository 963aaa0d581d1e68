"""Contender (b): Hugging Face PEFT's prompt tuning at its best.

Batches are padded to their own longest sequence, attention needs no mask, and the head runs only at
the positions in which the batch has a scored token. Array names end in their dimensions: B batch,
S text positions that the model reads, D width, V vocabulary, P prompt tokens, R scored tokens of
the batch, K distinct positions of those.
"""

from typing import NamedTuple

import numpy as np
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
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

EVALUATION_SEQUENCES = 32


class Batch(NamedTuple):
  """Padded sequences and their scored tokens.

  Attributes:
    ids_BxS: text tokens that are read.
    positions_K: the positions, prompt included, whose logits are wanted.
    slots_R: where each scored token's logits are among the (B * K).
    rows_R: the sequence of each scored token.
    targets_R: the scored tokens.
    weights_R: one over the number of scored tokens of the sequence.
  """

  ids_BxS: torch.Tensor
  positions_K: torch.Tensor
  slots_R: torch.Tensor
  rows_R: torch.Tensor
  targets_R: torch.Tensor
  weights_R: torch.Tensor


class PeftTuning(Contender):
  """A PEFT model whose virtual tokens start at the prompt.

  Args:
    work: the model and the initial prompt.
    device: where to compute.
    autocast: the model computes in bfloat16; weights, prompt and log-loss stay float32.
  """

  def __init__(self, work: Work, device: torch.device, autocast: bool):
    self.device, self._autocast = device, autocast
    model = GPT2LMHeadModel.from_pretrained(work.model_dir, dtype=torch.float32)
    start_PxD = model.get_input_embeddings().weight.detach()[work.prompt_ids]
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=len(start_PxD))
    self._model = get_peft_model(model, config).to(device)
    self.prompt_PxD = self._model.prompt_encoder["default"].embedding.weight
    self.prompt_PxD.data.copy_(start_PxD)

  def collate(self, sequences: list[Sequence]) -> Batch:
    # The last token of a sequence is only ever predicted.
    read = [np.concatenate(sequence)[:-1] for sequence in sequences]
    prefixes, candidates = zip(*sequences)
    counts_B = np.array([len(candidate) for candidate in candidates])
    before = len(self.prompt_PxD) - 1
    positions_R = np.concatenate(
      [before + len(prefix) + np.arange(count) for prefix, count in zip(prefixes, counts_B)]
    )
    rows_R = np.repeat(np.arange(len(sequences)), counts_B)
    positions_K, columns_R = np.unique(positions_R, return_inverse=True)
    arrays = (
      pad_right(read, max(map(len, read))),
      positions_K,
      rows_R * len(positions_K) + columns_R,
      rows_R,
      np.concatenate(candidates).astype(np.int64),
      (1 / counts_B[rows_R]).astype(np.float32),
    )
    return Batch(*(torch.from_numpy(array).to(self.device) for array in arrays))

  def losses(self, batch: Batch) -> torch.Tensor:
    # Padding comes after every scored token, so the causal mask alone hides it.
    with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
      logits_BxKxV = self._model(
        batch.ids_BxS, use_cache=False, logits_to_keep=batch.positions_K
      ).logits
    logits_RxV = logits_BxKxV.flatten(0, 1).index_select(0, batch.slots_R).float()
    losses_R = functional.cross_entropy(logits_RxV, batch.targets_R, reduction="none")
    losses_B = losses_R.new_zeros(len(batch.ids_BxS))
    return losses_B.index_add(0, batch.rows_R, losses_R * batch.weights_R)


def measure(work: Work, dataset_name: str, device: str, autocast: bool = False) -> dict:
  """Checks and times PEFT's prompt tuning on one dataset.

  Args:
    work: what all contenders are measured on.
    dataset_name: one of the work's datasets.
    device: `cpu` or `gpu`.
    autocast: the model computes in bfloat16.

  Returns:
    The measurements that `measure_contender` describes.
  """
  contender = PeftTuning(work, torch_device(device), autocast)
  return measure_contender(contender, work, dataset_name, EVALUATION_SEQUENCES)
