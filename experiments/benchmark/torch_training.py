"""What the PyTorch contenders share: the timed training steps and the timed evaluation.

Array names end in their dimensions: B batch, S positions, D width, V vocabulary, P prompt tokens,
N test rows, C classes, W width to pad to.
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
  """A frozen GPT-2 and one prompt to tune.

  Attributes:
    device: where the model is.
    prompt_PxD: the only parameter that is trained.
  """

  device: torch.device
  prompt_PxD: torch.nn.Parameter

  @abc.abstractmethod
  def collate(self, sequences: list[Sequence]):
    """A batch on the device, as `losses` takes it."""

  @abc.abstractmethod
  def losses(self, batch) -> torch.Tensor:
    """Mean log-loss of every sequence's candidate under the prompt, (B,)."""


def torch_device(device: str) -> torch.device:
  """PyTorch's name for `cpu` or `gpu`."""
  return torch.device("cuda" if device == "gpu" else device)


def pad_right(rows: list[np.ndarray], width: int) -> np.ndarray:
  """Rows of several lengths as one array (B, W), zeros after each row's end."""
  padded_BxW = np.zeros((len(rows), width), np.int64)
  for padded_W, row in zip(padded_BxW, rows):
    padded_W[: len(row)] = row
  return padded_BxW


def measure_contender(
  contender: Contender, work: Work, dataset_name: str, sequences_at_once: int
) -> dict:
  """Checks and times a contender on one dataset.

  Args:
    contender: at its initial prompt; trained afterwards.
    work: what all contenders are measured on.
    dataset_name: one of the work's datasets.
    sequences_at_once: sequences of an evaluation batch.

  Returns:
    `loss`, `gradient_norm`, `accuracy` and `mean_losses` of the initial prompt, `step_seconds` of
    the timed steps, and `evaluation_seconds` for `evaluation_rows` test rows.
  """
  data = work.datasets[dataset_name]
  train, test = (_after_the_prompt(part) for part in (data.train, data.test))
  labels = train.labels
  # Batches are made before any clock starts, so only the device's work is timed.
  batches = [
    contender.collate([(train.prefixes[i], train.candidates[labels[i]]) for i in rows])
    for rows in data.batches
  ]
  loss = contender.losses(batches[0]).mean()
  (gradient_PxD,) = torch.autograd.grad(loss, contender.prompt_PxD)
  losses_NxC, evaluation_seconds = _evaluate(contender, test, sequences_at_once)
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
  """One step on each batch; the seconds of each."""
  parameters = [contender.prompt_PxD]
  optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0, fused=True)
  seconds = []
  for batch in batches:
    start = _now(contender.device)
    optimizer.zero_grad()
    contender.losses(batch).mean().backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    seconds.append(_now(contender.device) - start)
  return seconds


@torch.inference_mode()
def _evaluate(contender: Contender, examples: EncodedExamples, at_once: int):
  """Mean log-loss of every class of every row, (N, C), and the seconds of that pass."""
  sequences = [(prefix, tokens) for prefix in examples.prefixes for tokens in examples.candidates]
  # Sequences of one length share a batch; the longest come first, so the warm-up is the largest.
  order = sorted(range(len(sequences)), key=lambda i: sum(map(len, sequences[i])), reverse=True)
  starts = range(0, len(order), at_once)
  batches = [contender.collate([sequences[i] for i in order[k : k + at_once]]) for k in starts]
  contender.losses(batches[0])
  start = _now(contender.device)
  losses = torch.cat([contender.losses(batch) for batch in batches])
  seconds = _now(contender.device) - start
  mean_losses = np.empty(len(order), np.float32)
  mean_losses[order] = losses.cpu().numpy()
  return mean_losses.reshape(len(examples), -1), seconds
