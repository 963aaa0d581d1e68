"""Qwen2 and Qwen3: Llamas with biases on q, k and v, or with norms on the heads of q and k."""

import dataclasses

from wayjax.errors import WayjaxError
from wayjax.models import llama
from wayjax.models.family import GGUF
from wayjax.models.hyperparameters import check_layer_types, require
from wayjax.models.llama import LlamaConfig


def _read(config: dict, defaults: dict, **own) -> LlamaConfig:
  require(config, "Qwen", hidden_act="silu")
  config = {**defaults, "sliding_window": 4096, **config}
  slides = bool(config.get("use_sliding_window"))
  result = LlamaConfig.read(config, reads=("sliding_window",) if slides else (), **own)
  first = config.get("max_window_layers", 28)
  if (kinds := config.get("layer_types")) is not None:
    some = "sliding_attention" in check_layer_types(kinds, result)
    if some and not slides:
      raise WayjaxError(
        "the model's configuration names sliding_attention among layer_types, but does not set "
        "use_sliding_window"
      )
  else:
    some = not isinstance(first, int) or first < result.num_hidden_layers
  return result if some else dataclasses.replace(result, sliding_window=None)


def read_qwen2(config: dict) -> LlamaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented."""
  defaults = {"vocab_size": 151936, "max_position_embeddings": 32768, "intermediate_size": 22016}
  return _read(config, defaults, qkv_bias=True, attention_bias=False, mlp_bias=False)


def read_qwen3(config: dict) -> LlamaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented."""
  defaults = {
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "intermediate_size": 22016,
    "head_dim": 128,
  }
  return _read(config, defaults, qk_norm=True, mlp_bias=False)


QWEN2 = dataclasses.replace(
  llama.FAMILY, read_config=read_qwen2, gguf=GGUF(options=llama.FAMILY.gguf.options)
)
QWEN3 = dataclasses.replace(QWEN2, read_config=read_qwen3)
