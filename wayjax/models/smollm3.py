"""SmolLM3 (Hugging Face, 2025): a Llama that rotates nothing in every fourth layer."""

import dataclasses

from wayjax.errors import WayjaxError
from wayjax.models import llama
from wayjax.models.hyperparameters import check_layer_types, require
from wayjax.models.llama import LlamaConfig

_EVERY = 4


def read_smollm3(config: dict) -> LlamaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented."""
  require(config, "SmolLM3", hidden_act="silu")
  defaults = {
    "vocab_size": 128256,
    "hidden_size": 2048,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
    "rope_theta": 2_000_000.0,
  }
  slides = bool(config.get("use_sliding_window"))
  config = {**defaults, **config}
  result = LlamaConfig.read(config, reads=("sliding_window",) if slides else ())
  if (kinds := config.get("layer_types")) is not None:
    check_layer_types(kinds, result)
  return dataclasses.replace(result, unrotated=_unrotated(config, result.num_hidden_layers))


def _unrotated(config: dict, layers: int) -> tuple[int, ...]:
  """The layers without rotary embeddings."""
  rotated = config.get("no_rope_layers")
  if rotated is None:
    every = config.get("no_rope_layer_interval", _EVERY)
    if not isinstance(every, int) or every < 1:
      raise WayjaxError(
        f"the model's configuration sets no_rope_layer_interval to {every!r}, not to a number of "
        "layers"
      )
    rotated = [int((layer + 1) % every != 0) for layer in range(layers)]
  if not isinstance(rotated, list) or len(rotated) < layers or set(map(str, rotated)) - {"0", "1"}:
    raise WayjaxError(
      f"the model's configuration sets no_rope_layers to {str(rotated)[:80]}, not to 0 or 1 for "
      f"each of its {layers} layers"
    )
  return tuple(layer for layer in range(layers) if not rotated[layer])


FAMILY = dataclasses.replace(llama.FAMILY, read_config=read_smollm3)
