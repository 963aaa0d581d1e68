"""OLMo 2 (OLMo team, 2024): norms after attention and MLP, and over all heads of q and k."""

import dataclasses
import functools

from flax import nnx

from wayjax.models import llama
from wayjax.models.decoder import Row
from wayjax.models.family import GGUF
from wayjax.models.hyperparameters import require
from wayjax.models.layers import RMSNorm
from wayjax.models.llama import GLU, Llama, LlamaConfig


def read_olmo2(config: dict) -> LlamaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented."""
  require(config, "OLMo 2", hidden_act="silu", mlp_bias=False)
  return LlamaConfig.read({"vocab_size": 50304, "rms_norm_eps": 1e-5, **config})


class Attention(llama.Attention):
  """Llama's, with a norm over the whole of q, and one over the whole of k."""

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    super().__init__(config, dtype, rngs=rngs)
    head, epsilon = config.head_dim, config.rms_norm_eps
    self.q_norm = RMSNorm(config.num_attention_heads * head, epsilon)
    self.k_norm = RMSNorm(config.num_key_value_heads * head, epsilon)

  def heads(self, x_SxD, row: Row):
    q_SxQ = self.q_norm(row.project(self.q_proj, x_SxD))
    k_SxG = self.k_norm(row.project(self.k_proj, x_SxD))
    v_SxG = row.project(self.v_proj, x_SxD)
    return (x.reshape(len(x), -1, self.head_dim) for x in (q_SxQ, k_SxG, v_SxG))


class Block(nnx.Module):
  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    self.self_attn = Attention(config, dtype, rngs=rngs)
    self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.mlp = GLU(config, dtype, rngs=rngs)
    self.post_feedforward_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

  def __call__(self, h_SxD, row: Row):
    h_SxD = row.read(h_SxD) + self.post_attention_layernorm(self.self_attn(h_SxD, row))
    return h_SxD + self.post_feedforward_layernorm(self.mlp(h_SxD))


FAMILY = dataclasses.replace(
  llama.FAMILY,
  read_config=read_olmo2,
  module=functools.partial(Llama, block=Block),
  gguf=GGUF(options=llama.FAMILY.gguf.options),
)
