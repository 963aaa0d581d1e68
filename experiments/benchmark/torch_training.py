"""What the PyTorch contenders share: the timed training steps and the timed evaluation.

Array names end in their dimensions: M prompts, P tokens of each, B batch, D width, N test rows,
C classes, W width to pad to.
"""

import abc
import dataclasses
import time

import numpy as np
import torch

from experiments.benchmark.work import Work
from wayjax.data.encoding import EncodedExamples

Sequence = tuple[np.ndarray, np.ndarray]  # the tokens of a prefix and of a candidate


class Contender(abc.ABC):
  """A frozen GPT-2 and M prompts to tune.

  Attributes:
    device: where the model is.
    prompts: the only parameters that are trained, (P, D) each.
    sequences_at_once: sequences of an evaluation batch.
  """

  device: torch.device
  prompts: list[torch.nn.Parameter]
  sequences_at_once: int

  @abc.abstractmethod
  def collate(self, sequences: list[Sequence]):
    """A batch on the device, as `losses` takes it."""

  @abc.abstractmethod
  def losses(self, batch) -> torch.Tensor:
    """Mean log-loss of every sequence's candidate under every prompt, (M, B)."""

  def collate_all(self, examples: EncodedExamples) -> tuple[list, np.ndarray]:
    """Batches of every example with every class; and which of those (N * C) each loss is of."""
    sequences = [(prefix, tokens) for prefix in examples.prefixes for tokens in examples.candidates]
    # Sequences of one length share a batch; the longest come first, so the warm-up is the largest.
    lengths = [sum(map(len, sequence)) for sequence in sequences]
    order = sorted(range(len(sequences)), key=lengths.__getitem__, reverse=True)
    starts = range(0, len(order), self.sequences_at_once)
    batches = [order[k : k + self.sequences_at_once] for k in starts]
    return [self.collate([sequences[i] for i in batch]) for batch in batches], np.array(order)


def torch_device(device: str) -> torch.device:
  """PyTorch's name for `cpu` or `gpu`."""
  return torch.device("cuda" if device == "gpu" else device)


def pad_right(rows: list[np.ndarray], width: int) -> np.ndarray:
  """Rows of several lengths as one array (B, W), zeros after each row's end."""
  padded_BxW = np.zeros((len(rows), width), np.int64)
  for padded_W, row in zip(padded_BxW, rows):
    padded_W[: len(row)] = row
  return padded_BxW


def measure_contender(contender: Contender, work: Work, dataset_name: str) -> dict:
  """Checks and times a contender on one dataset.

  Args:
    contender: at its initial prompts, which are equal; trained afterwards.
    work: what all contenders are measured on.
    dataset_name: one of the work's datasets.

  Returns:
    `loss`, `gradient_norm`, `accuracy` and `mean_losses` of the initial prompt, `step_seconds` of
    the timed steps, and `evaluation_seconds` for `evaluation_rows` test rows; seconds are those of
    all prompts, divided by M.
  """
  data = work.datasets[dataset_name]
  train, test = (_after_the_prompt(part) for part in (data.train, data.test))
  labels = train.labels
  # Batches are made before any clock starts, so only the device's work is timed.
  batches = [
    contender.collate([(train.prefixes[i], train.candidates[labels[i]]) for i in rows])
    for rows in data.batches
  ]
  loss = contender.losses(batches[0])[0].mean()
  (gradient_PxD,) = torch.autograd.grad(loss, contender.prompts[0])
  losses_NxC, evaluation_seconds = _evaluate(contender, test)
  step_seconds = _train(contender, work.learning_rate, batches)
  return {
    "loss": loss.item(),
    "gradient_norm": gradient_PxD.norm().item(),
    "step_seconds": step_seconds[work.warmup_steps :],
    "evaluation_seconds": evaluation_seconds,
    "evaluation_rows": len(data.test),
    "accuracy": float(np.mean(losses_NxC.argmin(1) == data.test.labels)),
    "mean_losses": losses_NxC.tolist(),
  }


def _after_the_prompt(examples: EncodedExamples) -> EncodedExamples:
  """Examples whose prefixes begin with what stands after the prompt."""
  after = np.array(examples.frame.after_ids, np.int32)
  prefixes = tuple(np.concatenate([after, prefix]) for prefix in examples.prefixes)
  return dataclasses.replace(examples, prefixes=prefixes)


def _now(device: torch.device) -> float:
  """The time at which all work given to the device is done."""
  if device.type == "cuda":
    torch.cuda.synchronize(device)
  return time.perf_counter()


def _train(contender: Contender, learning_rate: float, batches: list) -> list[float]:
  """One step of every prompt on each batch; the seconds of each, divided by M."""
  prompts = contender.prompts
  optimizer = torch.optim.AdamW(prompts, lr=learning_rate, weight_decay=0.0, fused=True)
  seconds = []
  for batch in batches:
    start = _now(contender.device)
    optimizer.zero_grad()
    contender.losses(batch).mean(1).sum().backward()
    for prompt_PxD in prompts:
      torch.nn.utils.clip_grad_norm_(prompt_PxD, 1.0)
    optimizer.step()
    seconds.append((_now(contender.device) - start) / len(prompts))
  return seconds


@torch.inference_mode()
def _evaluate(contender: Contender, examples: EncodedExamples):
  """Mean log-loss of every class of every row, (N, C), and a prompt's seconds of that pass."""
  batches, order = contender.collate_all(examples)
  contender.losses(batches[0])
  start = _now(contender.device)
  losses = torch.cat([contender.losses(batch) for batch in batches], 1)
  seconds = (_now(contender.device) - start) / len(contender.prompts)
  mean_losses = np.empty(len(order), np.float32)
  mean_losses[order] = losses[0].cpu().numpy()
  return mean_losses.reshape(len(examples), -1), seconds
