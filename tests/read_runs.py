"""Made-up runs of prompts that readers read: a tiny model, small rows, short descriptions."""

import csv
import dataclasses
import json

import numpy as np
import tiny

from wayjax.command_line import parse_args
from wayjax.prompts import text_prompt
from wayjax.results.writer import RunWriter

# A description of each task; no two share a word that counts.
TOLD = {"SST-2": "film mood", "sst-5": "stars given", "agnews": "news desk"}
TOLD |= {"trec": "question kind", "subj": "opinion fact"}
UNRELATED = "blue train"
VARIANTS = {"unconstrained": ("c-dist", 0.0), "γ = 0.01": ("c-dist", 0.01), "cell": ("cell", 0.0)}


def make_inputs(folder) -> list[str]:
  """Writes a model, small rows of two tasks, and a file of short descriptions; options of these."""
  rng = np.random.default_rng(0)
  model = str(tiny.save_model(folder / "model"))
  for name in ("sst2", "subj"):
    (folder / name).mkdir()
    for split, count in (("train", 40), ("test", 16)):
      with (folder / name / f"{split}.csv").open("w", newline="") as file:
        rows = [[f"{rng.integers(100)} {name}", int(rng.integers(2))] for _ in range(count)]
        csv.writer(file).writerows([["text", "label"], *rows])
  texts = json.dumps({f"{prefix}_0": text for prefix, text in TOLD.items()})
  (folder / "good_prompts.json").write_text(texts)
  options = ["--model", model, "--data-dir", str(folder), "--targets-dir", str(folder)]
  return [*options, "--precision", "float32", "--steps", "10"]


def configs_of(given, *more, tasks=("sst2", "subj")):
  return [parse_args(["--dataset", name, *given, *more]) for name in tasks]


# By task its texts: group, name, text.
TEXTS = {
  "sst2": (("other", "subj_0", TOLD["subj"]), ("pile", "p", UNRELATED)),
  "subj": (("other", "SST-2_0", TOLD["SST-2"]), ("pile", "p", UNRELATED)),
}


def write_run(folder, lm, config, texts, seeds=(1, 2), shard=None, diverged=(), accuracy=0.5):
  """A run whose prompts are close to their texts: nearest tokens read as these."""
  rows, prompts = [], {}
  for group, name, text in texts:
    for arm, (constraint, gamma) in VARIANTS.items():
      for seed in seeds:
        key = f"{group}/{name}/gamma={gamma:g}/seed={seed}/{constraint}"
        vectors_PxD = text_prompt(lm, text).vectors_PxD
        own = np.random.default_rng([seed, *map(ord, f"{config.dataset}{arm}{config.fool}")])
        prompts[key] = vectors_PxD + np.float32(own.normal(0, 1e-3, vectors_PxD.shape))
        rows.append(
          {"model": config.model, "dataset": config.dataset, "split": "test", "steps": 10}
          | {"init": "target", "lr": 0.01, "precision": "float32", "projection": "euclidean"}
          | {"target_group": group, "target_name": name, "target_text": text, "seed": seed}
          | {"gamma": gamma, "constraint": constraint, "prompt_key": key, "accuracy": accuracy}
          | {"status": "diverged" if (arm, seed) in diverged else "done"}
          | {"prompt_f1": 1.0, "projected_text": text}
        )
  resolved = {"majority": 0.5, "parameters": 1, "device": "a CPU", "versions": {}}
  writer = RunWriter.begin(folder)
  stored = dataclasses.asdict(config) | {"shard": shard, "resolved": resolved}
  writer.write_config(stored)
  writer.append_rows(rows, prompts, [])
