"""Adds to each model here what Hugging Face's greedy `generate` says; leaves the models alone.

    pip install torch transformers accelerate gguf
    python tests/goldens/make_generation.py [NAME ...]

Inputs of several lengths are read one by one, and again in one batch, padded on the left, with and
without the prompt of golden.npz. The most probable token is ahead of the next one everywhere, so
that rounding decides nothing.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
LENGTHS, NEW = (3, 9, 1, 6), 8
SEEDS = 20  # that are tried, until there are enough different tokens
ENOUGH = 8
LEAST = 0.02  # between the logits of the first and the second token
OPTIONS = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}


def load(folder: Path):
  file = {"gguf_file": "model.gguf"} if (folder / "model.gguf").exists() else {}
  model = AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation="eager", **file
  ).eval()
  model.generation_config.eos_token_id = None  # every sequence goes on to its last token
  return model


def go_on(model, rows: list[torch.Tensor]) -> np.ndarray | None:
  """New tokens of rows of several lengths; None where two tokens are near each other."""
  longest = max(map(len, rows))
  padded = [torch.nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows]
  mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
  details = {"return_dict_in_generate": True, "output_logits": True}
  together = model.generate(
    inputs_embeds=torch.stack(padded), attention_mask=torch.tensor(mask), **OPTIONS, **details
  )
  best = torch.stack(together.logits).topk(2).values
  if (best[..., 0] - best[..., 1]).min() < LEAST:
    return None
  alone = [
    model.generate(
      inputs_embeds=row[None], attention_mask=torch.ones(1, len(row), dtype=int), **OPTIONS
    )[0]
    for row in rows
  ]
  ids_NxK = torch.stack(alone)
  assert torch.equal(ids_NxK, together.sequences)
  return ids_NxK.numpy().astype(np.int32)


@torch.no_grad()
def compute(model, prompt_PxD: np.ndarray) -> dict[str, np.ndarray]:
  table, prompt_PxD = model.get_input_embeddings(), torch.from_numpy(prompt_PxD)
  found = {}  # by how many different tokens there are: a model that repeats one hides mistakes
  for seed in range(SEEDS):
    torch.manual_seed(seed)
    inputs = [torch.randint(1, 71, (length,)) for length in LENGTHS]
    plain = go_on(model, [table(ids) for ids in inputs])
    prompted = go_on(model, [torch.cat([prompt_PxD, table(ids)]) for ids in inputs])
    if plain is None or prompted is None or np.array_equal(plain, prompted):
      continue
    inputs_NxT = np.full((len(LENGTHS), max(LENGTHS)), -1, np.int32)
    for row, ids in zip(inputs_NxT, inputs):
      row[: len(ids)] = ids
    variety = min(len(np.unique(plain)), len(np.unique(prompted)))
    found[variety] = {"inputs_NxT": inputs_NxT, "plain_NxK": plain, "prompted_NxK": prompted}
    if variety >= ENOUGH:
      break
  print(f"{max(found)} different tokens")
  return found[max(found)]


def main(only: list[str]):
  transformers.utils.logging.disable_progress_bar()
  for golden in sorted(HERE.glob("*/golden.npz")):
    if only and golden.parent.name not in only:
      continue
    print(golden.parent.name, end=": ", flush=True)
    found = compute(load(golden.parent), np.load(golden)["prompt_PxD"])
    np.savez(golden.parent / "generation.npz", **found)


if __name__ == "__main__":
  main(sys.argv[1:])
