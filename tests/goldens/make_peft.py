"""Makes the folder `peft` here: soft prompts that PEFT writes and reads, and what it computes.

    pip install torch transformers peft && PYTHONPATH=tests:. python tests/goldens/make_peft.py

For some of the models here: folders that PEFT's prompt tuning writes with each of its ways to
begin; a folder that wayjax writes, of the prompt in `golden.npz`; and the mean log-loss of every
class's tokens that PEFT computes under each of them, in float32. Every path in them is relative.
"""

import contextlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import peft
import tiny
import torch
import transformers

from wayjax.data.targets import Target
from wayjax.export.save import save_prompt
from wayjax.prompts import SoftPrompt

HERE = Path(__file__).resolve().parent
MODELS = ("gpt2", "llama-grouped-tied", "qwen2", "gpt_neox-padded")
VOCABULARY = 71  # of all of these models but the last, which has more embeddings
TOKENS, CLASSES, EXAMPLES = 5, 3, 6
INITS = {
  "text": {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "AB:CDE"},
  "sample_vocab": {"prompt_tuning_init": "SAMPLE_VOCAB"},
  "random": {"prompt_tuning_init": "RANDOM"},
}
KEPT = ("adapter_config.json", "adapter_model.safetensors")


def draw_examples() -> dict[str, np.ndarray]:
  """Token ids, filled up with -1: texts of 3 to 8 tokens, and classes of 1 to 3."""
  rng = np.random.default_rng(0)
  found = {"prefixes_NxL": np.full((EXAMPLES, 8), -1), "candidates_CxL": np.full((CLASSES, 3), -1)}
  for ids, least in zip(found.values(), (3, 1)):
    for i, row in enumerate(ids):
      size = min(least + i, len(row))
      row[:size] = rng.integers(VOCABULARY, size=size)
  return {name: ids.astype(np.int32) for name, ids in found.items()}


@torch.no_grad()
def compute_losses(model, examples: dict[str, np.ndarray]) -> np.ndarray:
  """Mean log-loss of every class's tokens after every text, (N, C), one sequence at a time."""
  losses_NxC = np.zeros((EXAMPLES, CLASSES), np.float32)
  for n, prefix in enumerate(examples["prefixes_NxL"]):
    for c, candidate in enumerate(examples["candidates_CxL"]):
      prefix_ids, ids = prefix[prefix >= 0], candidate[candidate >= 0]
      logits_SxV = model(input_ids=torch.tensor(np.concatenate([prefix_ids, ids])[None])).logits[0]
      assert len(logits_SxV) == TOKENS + len(prefix_ids) + len(ids)
      # A token is scored from the position before it.
      scored = logits_SxV[-len(ids) - 1 : -1]
      target = torch.tensor(ids, dtype=torch.long)
      losses_NxC[n, c] = torch.nn.functional.cross_entropy(scored, target)
  return losses_NxC


def load_base(name: str):
  return transformers.AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).eval()


def keep(folder: Path, out: Path) -> None:
  out.mkdir()
  for name in KEPT:
    shutil.copy(folder / name, out / name)


def make(name: str, out: Path, examples: dict[str, np.ndarray], temporary: Path) -> None:
  losses = {}
  for init, options in INITS.items():
    torch.manual_seed(0)
    if init == "text":
      options = options | {"tokenizer_name_or_path": "tokenizer"}
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=TOKENS, **options)
    model = peft.get_peft_model(load_base(name), config).eval()
    losses[init] = compute_losses(model, examples)
    model.save_pretrained(temporary / name / init)
    keep(temporary / name / init, out / init)
  prompt_PxD = np.load(HERE / name / "golden.npz")["prompt_PxD"]
  prompt = SoftPrompt(prompt_PxD, name, Target("text", "text", "AB"), before="", after="")
  save_prompt(prompt, temporary / name / "wayjax")
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
    model = peft.PeftModel.from_pretrained(load_base(name), temporary / name / "wayjax").eval()
  losses["wayjax"] = compute_losses(model, examples)
  keep(temporary / name / "wayjax", out / "wayjax")
  np.savez(out / "losses.npz", **losses)
  print(name, {init: f"{found.mean():.3f} ± {found.std():.3f}" for init, found in losses.items()})


def main():
  transformers.utils.logging.disable_progress_bar()
  examples = draw_examples()
  out = HERE / "peft"
  shutil.rmtree(out, ignore_errors=True)
  out.mkdir()
  np.savez(out / "examples.npz", **examples)
  with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
    for name in MODELS:
      os.symlink(HERE / name, name)  # so that the folders name it by itself
    tiny.save_tokenizer(Path("tokenizer"), VOCABULARY - 1)
    for name in MODELS:
      (out / name).mkdir()
      make(name, out / name, examples, Path(temporary) / "made")


if __name__ == "__main__":
  main()
