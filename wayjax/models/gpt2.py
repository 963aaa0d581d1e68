"""GPT-2 (Radford et al., 2019), in any size; names are those of Hugging Face's weights."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from wayjax.errors import WayjaxError
from wayjax.models.layers import LayerNorm, Linear, attention, frozen_dot, scan_layers, stack_layers


@dataclasses.dataclass(frozen=True)
class GPT2Config:
  """GPT-2's hyper-parameters under Hugging Face's names; the defaults are the 124M model's."""

  vocab_size: int = 50257
  n_positions: int = 1024
  n_embd: int = 768
  n_layer: int = 12
  n_head: int = 12
  n_inner: int | None = None
  layer_norm_epsilon: float = 1e-5

  @classmethod
  def from_hf(cls, config: dict) -> "GPT2Config":
    """Reads a Hugging Face `config.json`.

    Raises:
      WayjaxError: the configuration uses an option that is not implemented, or lacks sense.
    """
    supported = {
      "activation_function": "gelu_new",
      "scale_attn_weights": True,
      "scale_attn_by_inverse_layer_idx": False,
      "add_cross_attention": False,
      "tie_word_embeddings": True,
    }
    for option, value in supported.items():
      if config.get(option, value) != value:
        raise WayjaxError(
          f"the model's config.json sets {option} to {config[option]!r}; for GPT-2 wayjax "
          f"implements {value!r} only"
        )
    fields = {field.name for field in dataclasses.fields(cls)}
    result = cls(**{name: config[name] for name in fields & set(config)})
    for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
      value = getattr(result, name)
      if not isinstance(value, int) or value < 1:
        raise WayjaxError(
          f"the model's config.json sets {name} to {value!r}, not to a whole number"
        )
    if result.n_embd % result.n_head:
      raise WayjaxError(
        f"the model's config.json has n_embd {result.n_embd}, which n_head {result.n_head} does "
        "not divide"
      )
    return result


class Attention(nnx.Module):
  def __init__(self, config: GPT2Config, dtype, *, rngs: nnx.Rngs):
    self.c_attn = Linear(config.n_embd, 3 * config.n_embd, dtype, rngs=rngs)
    self.c_proj = Linear(config.n_embd, config.n_embd, dtype, rngs=rngs)
    self.n_head = config.n_head
    self.dtype = dtype

  def __call__(self, x_SxD, visible_SxS):
    size, width = x_SxD.shape
    qkv_Sx3xHxK = self.c_attn(x_SxD).reshape(size, 3, self.n_head, width // self.n_head)
    q_SxHxK, k_SxHxK, v_SxHxK = (qkv_Sx3xHxK[:, i] for i in range(3))
    y_SxHxK = attention(q_SxHxK, k_SxHxK, v_SxHxK, visible_SxS, self.dtype)
    return self.c_proj(y_SxHxK.reshape(size, width))


class MLP(nnx.Module):
  def __init__(self, config: GPT2Config, dtype, *, rngs: nnx.Rngs):
    inner = config.n_inner or 4 * config.n_embd
    self.c_fc = Linear(config.n_embd, inner, dtype, rngs=rngs)
    self.c_proj = Linear(inner, config.n_embd, dtype, rngs=rngs)

  def __call__(self, x_SxD):
    # approximate=True is gelu_new, the tanh form that GPT-2 was trained with.
    return self.c_proj(jax.nn.gelu(self.c_fc(x_SxD), approximate=True))


class Block(nnx.Module):
  def __init__(self, config: GPT2Config, dtype, *, rngs: nnx.Rngs):
    self.ln_1 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
    self.attn = Attention(config, dtype, rngs=rngs)
    self.ln_2 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
    self.mlp = MLP(config, dtype, rngs=rngs)

  def __call__(self, h_SxD, visible_SxS):
    h_SxD = h_SxD + self.attn(self.ln_1(h_SxD), visible_SxS)
    return h_SxD + self.mlp(self.ln_2(h_SxD))


class GPT2(nnx.Module):
  """A frozen GPT-2 over one packed row.

  Args:
    config: hyper-parameters.
    dtype: compute type of the matrices: float32 or bfloat16.
    rngs: keys for random weights (tests, benchmarks); loading replaces them.
  """

  def __init__(self, config: GPT2Config, dtype=jnp.float32, *, rngs: nnx.Rngs):
    def table(rows):
      return nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, config.n_embd), jnp.float32))

    self.wte = table(config.vocab_size)
    self.wpe = table(config.n_positions)
    self.blocks = stack_layers(lambda rngs: Block(config, dtype, rngs=rngs), config.n_layer, rngs)
    self.ln_f = LayerNorm(config.n_embd, config.layer_norm_epsilon)
    # The head is tied to wte; it is its own array so that it can be held in the compute type.
    self.lm_head = nnx.Param(self.wte[...].astype(dtype))

  def embedding_table(self):
    """The table that prompts are projected to, (V, D), float32."""
    return self.wte[...]

  def embed(self, ids_S):
    """Input embeddings of token ids, (S, D), before positions are added."""
    return self.wte[...][ids_S]

  def hidden(self, x_SxD, positions_S, visible_SxS):
    """Final hidden states of one packed row.

    Args:
      x_SxD: input embeddings; soft-prompt vectors stand here like any others.
      positions_S: position number of each, below `n_positions`.
      visible_SxS: whether position i sees position j.

    Returns:
      (S, D), float32, after the last layer norm.
    """
    h_SxD = x_SxD + self.wpe[...][positions_S]
    return self.ln_f(scan_layers(self.blocks, h_SxD, visible_SxS))

  def unembed(self, h_RxD):
    """Logits over the vocabulary, (R, V), float32."""
    return frozen_dot(h_RxD, self.lm_head[...], 1)


# Parameter -> tensor in Hugging Face's files; {} is the layer. Conv1D kernels are (in, out) there.
TENSORS = {
  ("wte",): "wte.weight",
  ("wpe",): "wpe.weight",
  ("lm_head",): "wte.weight",
  ("ln_f", "scale"): "ln_f.weight",
  ("ln_f", "bias"): "ln_f.bias",
  **{
    ("blocks", norm, ours): f"h.{{}}.{norm}.{theirs}"
    for norm in ("ln_1", "ln_2")
    for ours, theirs in (("scale", "weight"), ("bias", "bias"))
  },
  **{
    ("blocks", part, name, ours): f"h.{{}}.{part}.{name}.{theirs}"
    for part, name in (("attn", "c_attn"), ("attn", "c_proj"), ("mlp", "c_fc"), ("mlp", "c_proj"))
    for ours, theirs in (("kernel", "weight"), ("bias", "bias"))
  },
}
# Causal masks that old files store as buffers, and the tied head, which is wte again.
IGNORED = (r"h\.\d+\.attn\.(bias|masked_bias)", r"lm_head\.weight")
PREFIX = "transformer."
