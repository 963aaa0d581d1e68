"""Replacements a second of the reader `hard`, against a plain PyTorch loop that does the same.

The loop is nanoGCG's: for each row and class a batch of replacements is read, one sequence each,
with logits at all of its positions. Both read the same replacements and must find the same losses.
Letters: B sequences, S positions, V vocabulary, W replacements, N rows, C classes, R scored tokens,
P positions of a text.

  python -m experiments.benchmark.hard_reader --model MODEL --data-dir DATA --dataset sst2
"""

import argparse
import json
import os
import time

import jax
import numpy as np
import torch
from transformers import AutoModelForCausalLM

import wayjax
from wayjax.data.encoding import EncodedExamples
from wayjax.data.packing import left_mask, row_multiple
from wayjax.devices.select import select_device
from wayjax.readers.coordinate_gradient import SEQUENCES_AT_ONCE, Sizes, step, whole_tokens
from wayjax.readers.divergence import CLASSES, Divergence, aims, drawn_rows, scored_rows
from wayjax.readers.hard import RANDOM, starts

TOLERANCE = 1e-4  # nats between the losses of both


class TorchLoop:
  """The plain loop.

  Args:
    model: a folder in Hugging Face's layout.
    examples: the rows that texts are compared on.
    at_once: sequences of a batch.
  """

  def __init__(self, model: str, examples: EncodedExamples, at_once: int):
    self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    self.at_once, frame = at_once, examples.frame
    self.before, after = list(frame.before_ids), list(frame.after_ids)
    self.sequences = [
      (after + prefix.tolist(), candidate.tolist())
      for prefix in examples.prefixes
      for candidate in examples.candidates
    ]
    self.classes = len(examples.candidates)

  @torch.inference_mode()
  def losses(self, ids_WxP: np.ndarray, aim_NxC: torch.Tensor) -> np.ndarray:
    """KL(aim || text) of each text, the mean over rows, (W,)."""
    batches = torch.from_numpy(ids_WxP).split(self.at_once)
    log_WxNC = torch.cat(
      [torch.stack([self._log_prob(ids, *one) for one in self.sequences], 1) for ids in batches]
    )
    log_q = log_WxNC.reshape(len(ids_WxP), -1, self.classes).log_softmax(-1)
    return (aim_NxC.exp() * (aim_NxC - log_q)).sum(-1).mean(-1).numpy()

  def _log_prob(self, ids_BxP: torch.Tensor, text: list[int], scored: list[int]) -> torch.Tensor:
    """The mean log-probability of one row's continuation after each text, (B,)."""
    parts = self.before, ids_BxP, [*text, *scored[:-1]]
    expanded = [torch.as_tensor(part).long().expand(len(ids_BxP), -1) for part in parts]
    logits_BxSxV = self.model(torch.cat(expanded, 1)).logits
    log_BxRxV = logits_BxSxV[:, -len(scored) :].log_softmax(-1)
    return log_BxRxV[:, torch.arange(len(scored)), torch.tensor(scored)].mean(1)


def timed(work) -> tuple[object, np.ndarray]:
  """What a function returns, and the seconds of the clock and of all cores that it took."""
  before = time.perf_counter(), time.process_time()
  result = work()
  return result, np.array([time.perf_counter(), time.process_time()]) - before


def measure(args: argparse.Namespace) -> dict:
  """Both rates, in replacements a second of the clock, and of the cores' time."""
  lm = wayjax.load_lm(args.model, precision="float32")
  task = wayjax.get_task(args.dataset)
  data = wayjax.load_data(task, args.data_dir)
  examples = drawn_rows(wayjax.encode(lm.tokenizer, task, data.train), args.rows, 0)
  prompts = [wayjax.text_prompt(lm, text) for text in args.texts]
  rows, divergence = scored_rows(examples, row_multiple("cpu")), Divergence(CLASSES)
  aims_M = np.stack(aims(lm, divergence, rows, prompts))
  ids = starts(lm, prompts, RANDOM, args.tokens, 0)
  ids_MxP = np.stack(ids)
  mask_MxP = np.stack([left_mask(args.tokens, args.tokens)] * len(prompts))
  at_once = max(1, SEQUENCES_AT_ONCE["cpu"] // len(prompts))
  arrays = lm.params, rows, whole_tokens(lm), aims_M, ids_MxP, mask_MxP, np.uint32(0), np.uint32(0)
  program = step.lower(divergence, Sizes(args.width, 256, at_once), lm.graphdef, *arrays).compile()

  def run_program():
    return jax.device_get(program(*arrays))

  ranked = run_program()
  loop = TorchLoop(args.model, examples, args.torch_at_once)
  counted = slice(args.torch_width)  # its rate does not depend on how many there are
  ids_WxP = np.tile(ids_MxP[0], (args.torch_width, 1))
  chosen = np.arange(args.torch_width), ranked.places_W[0, counted]
  ids_WxP[chosen] = ranked.tokens_W[0, counted]
  aim_NxC = torch.from_numpy(np.concatenate(aims_M[0])[rows.weights_E.reshape(-1) > 0])
  loop.losses(ids_WxP[:2], aim_NxC)
  ours, theirs, worst = [], [], 0.0
  for _ in range(args.repeats):
    _, seconds = timed(run_program)
    ours.append(len(prompts) * ranked.losses_W.shape[1] / seconds)
    losses_W, seconds = timed(lambda: loop.losses(ids_WxP, aim_NxC))
    theirs.append(args.torch_width / seconds)
    worst = max(worst, float(np.abs(losses_W - ranked.losses_W[0, counted]).max()))
  if not worst < TOLERANCE:
    raise SystemExit(f"the two differ by {worst:.2g} nats: one of them is wrong")
  ours, theirs = np.median(ours, axis=0), np.median(theirs, axis=0)
  return {
    "dataset": args.dataset,
    "prompts": len(prompts),
    "wayjax_per_second": ours[0].round(2),
    "torch_per_second": theirs[0].round(2),
    "times": (ours[0] / theirs[0]).round(2),
    "wayjax_per_core_second": ours[1].round(2),
    "torch_per_core_second": theirs[1].round(2),
    "times_by_core": (ours[1] / theirs[1]).round(2),
    "largest_difference": worst,
    "load": os.getloadavg()[0],
  }


def main() -> None:
  """Prints one line of JSON."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add("--model", required=True, help="a folder in Hugging Face's layout")
  add("--data-dir", required=True, help="a folder with <task>/train.csv")
  add("--dataset", default="sst2")
  add("--texts", nargs="+", default=["Classify the sentiment of this review as good or bad."])
  add("--tokens", type=int, default=16, help="of the texts that are read")
  add("--rows", type=int, default=8)
  add("--width", type=int, default=512, help="replacements of a step")
  add("--torch-width", type=int, default=16, help="how many of them the loop reads")
  add("--torch-at-once", type=int, default=32, help="sequences of a batch of the loop")
  add("--repeats", type=int, default=3)
  args = parser.parse_args()
  select_device("cpu")
  print(json.dumps(measure(args), default=float))


if __name__ == "__main__":
  main()
