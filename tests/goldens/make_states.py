"""Adds to some models here the hidden states that Hugging Face returns; leaves the models alone.

    pip install torch transformers accelerate
    python tests/goldens/make_states.py

They are of the prompt and the text of golden.npz, before the first layer and after each one. The
last of Hugging Face's is after the last norm, so that what the last layer itself returns is kept,
too.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
NAMES = ("gpt2", "llama-grouped-tied", "gemma3", "opt", "opt-350m")


@torch.no_grad()
def compute(name: str) -> dict[str, np.ndarray]:
  golden = np.load(HERE / name / "golden.npz")
  model = AutoModelForCausalLM.from_pretrained(
    HERE / name, dtype=torch.float32, attn_implementation="eager"
  ).eval()
  layers = max((part for part in model.modules() if isinstance(part, torch.nn.ModuleList)), key=len)
  assert len(layers) == model.config.num_hidden_layers
  returned = []
  layers[-1].register_forward_hook(
    lambda _, inputs, output: returned.append(output if torch.is_tensor(output) else output[0])
  )
  ids_T = torch.from_numpy(golden["ids_T"]).long()
  embedded_TxD = model.get_input_embeddings()(ids_T)
  x_SxD = torch.cat([torch.from_numpy(golden["prompt_PxD"]), embedded_TxD])
  found = model(inputs_embeds=x_SxD[None], output_hidden_states=True).hidden_states
  assert len(found) == len(layers) + 1
  (last,) = returned
  between = [*found[:-1], last]
  return {
    "states_NxSxI": torch.stack([h.reshape(len(x_SxD), -1) for h in between]).numpy(),
    "normed_SxD": found[-1][0].numpy(),
  }


def main():
  transformers.utils.logging.disable_progress_bar()
  arrays = {}
  for name in NAMES:
    for part, array in compute(name).items():
      arrays[f"{name}/{part}"] = array
      print(name, part, array.shape, f"standard deviation {array.std():.2f}")
  np.savez_compressed(HERE / "states.npz", **arrays)


if __name__ == "__main__":
  main()
