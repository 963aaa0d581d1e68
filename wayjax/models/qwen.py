"""Qwen2 and Qwen3: Llamas with biases on q, k and v, or with norms on the heads of q and k."""

import dataclasses

from wayjax.errors import WayjaxError
from wayjax.models import llama
from wayjax.models.family import GGUF
from wayjax.models.hyperparameters import require
from wayjax.models.llama import LlamaConfig


def _read(config: dict, defaults: dict, **changes) -> LlamaConfig:
  require(config, "Qwen", hidden_act="silu")
  result = LlamaConfig.read({**defaults, **config}, **changes)
  window = config.get("sliding_window", 4096) if config.get("use_sliding_window") else None
  kinds = config.get("layer_types")
  if kinds is None:
    first = config.get("max_window_layers", 28)
    full = window is None or (isinstance(first, int) and first >= result.num_hidden_layers)
  else:
    full = isinstance(kinds, list) and all(kind == "full_attention" for kind in kinds)
  if not full:
    deciding = ("sliding_window", "use_sliding_window", "max_window_layers", "layer_types")
    options = [f"{option}: {config[option]!r}" for option in deciding if option in config]
    raise WayjaxError(
      f"the model's configuration uses a sliding_window ({', '.join(options)}); wayjax implements "
      "full attention only"
    )
  return result


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
