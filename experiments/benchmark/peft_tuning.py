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

FUSED_GELU = "gelu_pytorch_tanh"  # GPT-2's GELU


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
    fused_gelu: GELU is one operation of PyTorch's, where transformers has it of eight.
  """

  sequences_at_once = 32

  def __init__(self, work: Work, device: torch.device, autocast: bool, fused_gelu: bool):
    self.device, self._autocast = device, autocast
    options = {"activation_function": FUSED_GELU} if fused_gelu else {}
    model = GPT2LMHeadModel.from_pretrained(work.model_dir, dtype=torch.float32, **options)
    start_PxD = model.get_input_embeddings().weight.detach()[work.prompt_ids]
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=len(start_PxD))
    self._model = get_peft_model(model, config).to(device)
    self.prompts = [self._model.prompt_encoder["default"].embedding.weight]
    self.prompts[0].data.copy_(start_PxD)

  def collate(self, sequences: list[Sequence]) -> Batch:
    # The last token of a sequence is only ever predicted.
    read = [np.concatenate(sequence)[:-1] for sequence in sequences]
    prefixes, candidates = zip(*sequences)
    counts_B = np.array([len(candidate) for candidate in candidates])
    before = len(self.prompts[0]) - 1
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
    return losses_B.index_add(0, batch.rows_R, losses_R * batch.weights_R)[None]


def measure(
  work: Work, dataset_name: str, device: str, autocast: bool = False, fused_gelu: bool = False
) -> dict:
  """Checks and times PEFT's prompt tuning on one dataset.

  Args:
    work: what all contenders are measured on.
    dataset_name: one of the work's datasets.
    device: `cpu` or `gpu`.
    autocast: the model computes in bfloat16.
    fused_gelu: see `PeftTuning`.

  Returns:
    The measurements that `measure_contender` describes.
  """
  contender = PeftTuning(work, torch_device(device), autocast, fused_gelu)
  return measure_contender(contender, work, dataset_name)
