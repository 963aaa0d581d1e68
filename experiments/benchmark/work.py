"""The work that all contenders of the benchmark do: one folder with a model and encoded texts.

Every contender reads the same token ids, so that nothing but the computation differs between them.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from transformers import GPT2Tokenizer

from wayjax.data.encoding import EncodedExamples, encode
from wayjax.data.examples import load_data
from wayjax.data.frame import Frame, make_frame
from wayjax.data.tasks import get_task
from wayjax.models import load_lm
from wayjax.tuning.batches import training_batches

BATCH = 8
PROMPT_TOKENS = 20
SEED = 1  # orders the examples, draws the prompt and the weights
WEIGHTS_SCALE = 0.02  # GPT-2's initial standard deviation

# layers, width, heads
SHAPES = {
  "gpt2": (12, 768, 12),
  "gpt2-medium": (24, 1024, 16),
  "gpt2-large": (36, 1280, 20),
  "gpt2-xl": (48, 1600, 25),
  "gpt2-two-layers": (2, 768, 12),
}


@dataclasses.dataclass(frozen=True)
class WorkDataset:
  """One task's texts, and which of them each step sees."""

  max_length: int
  train: EncodedExamples
  batches: list[list[int]]
  test: EncodedExamples


@dataclasses.dataclass(frozen=True)
class Work:
  """What is measured.

  Attributes:
    model_dir: a GPT-2 in Hugging Face's layout, random weights, no dropout.
    prompt_ids: tokens whose embeddings are the initial prompt.
    learning_rate: of every step.
    run_steps: steps of the run that is measured a part of, which wayjax chooses its row sizes for.
    warmup_steps: steps before the clock starts.
    timed_steps: steps after that.
    datasets: the texts of each task.
    frame: what stands around the prompt.
  """

  model_dir: Path
  prompt_ids: list[int]
  learning_rate: float
  run_steps: int
  warmup_steps: int
  timed_steps: int
  datasets: dict[str, WorkDataset]
  frame: Frame

  @classmethod
  def make(
    cls,
    folder: Path,
    *,
    shape: str,
    tokenizer: str,
    data_dir: str,
    datasets: list[str],
    run_steps: int,
    warmup_steps: int,
    timed_steps: int,
    test_rows: int,
    model: Path | None = None,
    before: str = "",
    after: str = "",
  ) -> "Work":
    """Writes the work into a folder, and returns it as contenders read it."""
    if model is None:
      tokenizer = save_model(folder / "model", tokenizer, shape)
    else:
      tokenizer = load_lm(str(model)).tokenizer
      (folder / "model").symlink_to(model.resolve())
    rng = np.random.default_rng(SEED)
    plain = {
      "prompt_ids": rng.choice(len(tokenizer) - 1, PROMPT_TOKENS, replace=False).tolist(),
      "learning_rate": 0.01,
      "run_steps": run_steps,
      "warmup_steps": warmup_steps,
      "timed_steps": timed_steps,
      "datasets": {},
    }
    frame = make_frame(tokenizer, before, after)
    plain["frame"] = dataclasses.asdict(frame)
    for name in datasets:
      task = get_task(name)
      data = load_data(task, data_dir)
      # The first test rows may be of one class.
      order = np.random.default_rng(SEED).permutation(len(data.evaluation))[:test_rows]
      train, test = (
        encode(tokenizer, task, part, frame=frame) for part in (data.train, data.evaluation)
      )
      plain["datasets"][name] = {
        "max_length": task.max_length,
        "train": _to_lists(train, range(len(train))),
        "batches": training_batches(train, BATCH, SEED, range(warmup_steps + timed_steps)).tolist(),
        "test": _to_lists(test, order),
      }
    (folder / "work.json").write_text(json.dumps(plain))
    return cls.read(folder)

  @classmethod
  def read(cls, folder: Path) -> "Work":
    """Reads the work that `make` wrote."""
    plain = json.loads((folder / "work.json").read_text())
    parts = plain.pop("frame").items()
    frame = Frame(**{name: x if isinstance(x, str) else tuple(x) for name, x in parts})
    datasets = {
      name: WorkDataset(
        max_length=dataset["max_length"],
        train=_from_lists(dataset["train"], frame),
        batches=dataset["batches"],
        test=_from_lists(dataset["test"], frame),
      )
      for name, dataset in plain.pop("datasets").items()
    }
    return cls(model_dir=folder / "model", datasets=datasets, frame=frame, **plain)


def _to_lists(examples: EncodedExamples, rows) -> dict:
  return {
    "prefixes": [examples.prefixes[i].tolist() for i in rows],
    "candidates": [ids.tolist() for ids in examples.candidates],
    "labels": [int(examples.labels[i]) for i in rows],
  }


def _from_lists(lists: dict, frame: Frame) -> EncodedExamples:
  prefixes, candidates = (
    tuple(np.array(ids, np.int32) for ids in lists[name]) for name in ("prefixes", "candidates")
  )
  return EncodedExamples(prefixes, candidates, np.array(lists["labels"], np.int32), frame=frame)


def save_model(folder: Path, tokenizer: str, shape: str) -> GPT2Tokenizer:
  """A GPT-2 of this shape with random weights, as the Hub lays it out; returns its tokenizer."""
  tokenizer = GPT2Tokenizer.from_pretrained(tokenizer)
  layers, width, heads = SHAPES[shape]
  folder.mkdir(parents=True)
  config = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": len(tokenizer),
    "n_positions": 1024,
    "n_embd": width,
    "n_layer": layers,
    "n_head": heads,
    "bos_token_id": tokenizer.eos_token_id,
    "eos_token_id": tokenizer.eos_token_id,
    **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
  }
  (folder / "config.json").write_text(json.dumps(config))
  tokenizer.save_pretrained(folder)
  rng = np.random.default_rng(SEED)

  def random(*shape):
    return WEIGHTS_SCALE * rng.standard_normal(shape, np.float32)

  tensors = {"wte.weight": random(len(tokenizer), width), "wpe.weight": random(1024, width)}
  linear = {
    "attn.c_attn": (width, 3 * width),
    "attn.c_proj": (width, width),
    "mlp.c_fc": (width, 4 * width),
    "mlp.c_proj": (4 * width, width),
  }
  norms = ["ln_f"]
  for layer in range(layers):
    for name, shape in linear.items():
      tensors[f"h.{layer}.{name}.weight"] = random(*shape)
      tensors[f"h.{layer}.{name}.bias"] = random(shape[1])
    norms += [f"h.{layer}.ln_1", f"h.{layer}.ln_2"]
  for name in norms:
    tensors[f"{name}.weight"] = 1 + random(width)
    tensors[f"{name}.bias"] = random(width)
  save_file(tensors, folder / "model.safetensors")
  return tokenizer
