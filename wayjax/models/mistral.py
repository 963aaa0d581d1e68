"""Mistral (Jiang et al., 2023): a Llama with a sliding window."""

import dataclasses

from wayjax.models import llama
from wayjax.models.hyperparameters import require
from wayjax.models.llama import LlamaConfig


def read_mistral(config: dict) -> LlamaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented."""
  require(config, "Mistral", hidden_act="silu", attention_bias=False, mlp_bias=False)
  defaults = {
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
  }
  return LlamaConfig.read({**defaults, **config}, reads=("sliding_window",))


# llama.cpp converts Mistral to its architecture `llama`.
FAMILY = dataclasses.replace(llama.FAMILY, read_config=read_mistral, gguf=None)
