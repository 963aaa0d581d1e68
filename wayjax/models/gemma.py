"""Gemma 2 and Gemma 3 (Gemma team, 2024 and 2025), their text models.

Embeddings are scaled by the square root of the width, so everything that lives among them is, too:
prompts, targets, readings. A layer has four norms, and sees a window or everything; windows never
cut anything off, because no sequence is longer.
"""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from wayjax.errors import WayjaxError
from wayjax.models import llama
from wayjax.models.decoder import Row
from wayjax.models.family import GGUF, Family
from wayjax.models.hyperparameters import check_layer_types, is_number, require
from wayjax.models.layers import RMSNorm
from wayjax.models.llama import GLU, Attention, Llama, LlamaConfig
from wayjax.models.rope_scaling import read_rotation
from wayjax.models.rotary import Rotation

_SHARED = {
  "hidden_size": 2304,
  "intermediate_size": 9216,
  "num_hidden_layers": 26,
  "num_attention_heads": 8,
  "num_key_value_heads": 4,
  "head_dim": 256,
  "tie_word_embeddings": True,
  "query_pre_attn_scalar": 256,
  "sliding_window": 4096,
}
_GEMMA2 = {
  "vocab_size": 256000,
  "max_position_embeddings": 8192,
  "attn_logit_softcapping": 50.0,
  "final_logit_softcapping": 30.0,
}
_GEMMA3 = {
  "vocab_size": 262208,
  "max_position_embeddings": 131072,
  "rope_theta": 1_000_000.0,
  "rope_local_base_freq": 10_000.0,
}


@dataclasses.dataclass(frozen=True)
class GemmaConfig(LlamaConfig):
  """Gemma's hyper-parameters under Hugging Face's names.

  Two fields are wayjax's own, computed from the configuration: `local`, the layers that see a
  window, and `local_frequencies`, with which they rotate if not with `frequencies`.
  """

  local: tuple[int, ...] = ()
  local_frequencies: tuple[float, ...] = ()

  @property
  def rotations(self) -> tuple[Rotation, ...]:
    rotation = Rotation(self.frequencies, self.rotary_scale)
    return (rotation, Rotation(self.local_frequencies)) if self.local_frequencies else (rotation,)

  @property
  def kind_of(self) -> tuple[int, ...]:
    if not self.local_frequencies:
      return ()
    return tuple(int(layer in self.local) for layer in range(self.num_hidden_layers))


def _read(config: dict, name: str, every: int, reads: tuple[str, ...], **own) -> GemmaConfig:
  """Reads what both have; every so many layers, one sees everything."""
  activation = "gelu_pytorch_tanh"
  directions = {"use_bidirectional_attention": config.get("use_bidirectional_attention") or False}
  require(
    config | directions,
    name,
    hidden_activation=activation,
    use_bidirectional_attention=False,
    mlp_bias=False,
  )
  reads += ("sliding_window", "query_pre_attn_scalar", "final_logit_softcapping")
  result = GemmaConfig.read(config, reads=reads, hidden_act=activation, **own)
  if (kinds := config.get("layer_types")) is not None:
    local = [kind == "sliding_attention" for kind in check_layer_types(kinds, result)]
  else:
    local = [(layer + 1) % every != 0 for layer in range(result.num_hidden_layers)]
  return dataclasses.replace(
    result,
    local=tuple(layer for layer, is_local in enumerate(local) if is_local),
    sliding_window=result.sliding_window if any(local) else None,
  )


def read_gemma2(config: dict) -> GemmaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented."""
  return _read({**_SHARED, **_GEMMA2, **config}, "Gemma 2", 2, ("attn_logit_softcapping",))


def read_gemma3(config: dict) -> GemmaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented.

  Of a model for texts and images, the text's part is read.
  """
  if "text_config" in config:
    text = config["text_config"]
    if not isinstance(text, dict):
      raise WayjaxError(
        f"the model's configuration sets text_config to {str(text)[:80]}, not an object"
      )
    config = {"tie_word_embeddings": config.get("tie_word_embeddings", True), **text}
  config = {**_SHARED, **_GEMMA3, **config}
  every = config.get("sliding_window_pattern", 6)
  if not isinstance(every, int) or every < 1:
    raise WayjaxError(
      f"the model's configuration sets sliding_window_pattern to {every!r}, not to a number of "
      "layers"
    )
  require(config, "Gemma 3", attn_logit_softcapping=None)
  result = _read({**config, **_global_rope(config)}, "Gemma 3", every, (), qk_norm=True)
  rotation, _ = read_rotation({**config, **_local_rope(config)}, result.head_dim)
  return dataclasses.replace(result, local_frequencies=rotation.frequencies)


def _rope_of(config: dict, kind: str) -> dict:
  """The rotary options of one kind of layer in the newer form of a configuration."""
  parameters = config.get("rope_parameters")
  options = parameters.get(kind) if isinstance(parameters, dict) else None
  return options if isinstance(options, dict) else {}


def _global_rope(config: dict) -> dict:
  """The configuration's rotary options for layers that see everything, as if it had no others."""
  scaling = config.get("rope_scaling") or {}
  if isinstance(scaling, dict):
    scaling = _rope_of(config, "full_attention") | scaling
  return {"rope_scaling": scaling, "rope_parameters": None}


def _local_rope(config: dict) -> dict:
  """Likewise for layers that see a window."""
  return {
    "rope_theta": config["rope_local_base_freq"],
    "rope_scaling": _rope_of(config, "sliding_attention"),
    "rope_parameters": None,
  }


class Block(nnx.Module):
  """A layer with a norm before and after both attention and MLP."""

  def __init__(self, config: GemmaConfig, dtype, *, rngs: nnx.Rngs):
    self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.self_attn = Attention(config, dtype, rngs=rngs)
    self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.pre_feedforward_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.mlp = GLU(config, dtype, rngs=rngs)
    self.post_feedforward_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

  def __call__(self, h_SxD, row: Row):
    y_SxD = self.self_attn(self.input_layernorm(h_SxD), row)
    h_SxD = row.read(h_SxD) + self.post_attention_layernorm(y_SxD)
    y_SxD = self.mlp(self.pre_feedforward_layernorm(h_SxD))
    return h_SxD + self.post_feedforward_layernorm(y_SxD)


class Gemma(Llama):
  """A frozen Gemma 2 or Gemma 3."""

  def __init__(self, config: GemmaConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
    super().__init__(
      config,
      dtype,
      block=Block,
      embedding_scale=config.hidden_size**0.5,
      head_cap=config.final_logit_softcapping,
      tied=config.tie_word_embeddings,
      rngs=rngs,
    )


def _implied(config: dict) -> dict:
  """What GGUF files leave to the reader: the scale of attention, other in the models of 27B."""
  layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
  width, head = config.get("hidden_size"), config.get("head_dim", _SHARED["head_dim"])
  numbers = is_number(width) and is_number(heads)  # what is not is refused later
  if layers == _LAYERS_27B[config["model_type"]] and numbers:
    head = width / heads
  return {"query_pre_attn_scalar": head}


_LAYERS_27B = {"gemma2": 46, "gemma3": 62}
_GGUF = GGUF(
  options={
    **llama.FAMILY.gguf.options,
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
  },
  implied=_implied,
)
GEMMA2 = Family(
  read_config=read_gemma2,
  module=Gemma,
  prefixes=("model.",),
  norms_less_one=True,
  gguf=_GGUF,
)
GEMMA3 = dataclasses.replace(
  GEMMA2,
  read_config=read_gemma3,
  # The text's part of a model for texts and images, as it is stored now and as it was.
  prefixes=("model.language_model.", "language_model.model.", "model."),
  ignored=(r"(vision_tower|multi_modal_projector)\..*", r"language_model\.lm_head\.weight"),
)
