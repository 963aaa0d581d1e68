"""The contract: what every family's language model does over one packed row.

A family's class hands its layers and final norm to `Decoder` (or `RotaryDecoder`); the rest of
wayjax calls `embedding_table`, `embed`, `hidden` and `unembed`, and nothing else.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from wayjax.models.layers import frozen_dot
from wayjax.models.rotary import rotation


def stack_layers(make_layer, n_layers: int, rngs: nnx.Rngs) -> nnx.Module:
  """One module that holds `n_layers` layers, their weights stacked along a leading axis."""

  @nnx.split_rngs(splits=n_layers)
  @nnx.vmap(in_axes=(0,), out_axes=0)
  def make(rngs):
    return make_layer(rngs)

  return make(rngs)


def scan_layers(stacked: nnx.Module, h_SxD, *inputs):
  """Applies stacked layers one after the other; each gets the same further inputs."""
  graphdef, weights = nnx.split(stacked)

  def apply(h_SxD, layer):
    return nnx.merge(graphdef, layer)(h_SxD, *inputs), None

  h_SxD, _ = lax.scan(apply, h_SxD, weights)
  return h_SxD


def embedding(rows: int, width: int, rngs: nnx.Rngs) -> nnx.Param:
  """A table of vectors, (rows, width), float32."""
  return nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, width), jnp.float32))


class Head(nnx.Module):
  """The vocabulary head; its matrix is (V, D) in the compute type, whether tied or not."""

  def __init__(self, vocab_size: int, width: int, dtype, *, bias: bool, rngs: nnx.Rngs):
    self.weight = nnx.Param(0.02 * jax.random.normal(rngs.params(), (vocab_size, width), dtype))
    self.bias = nnx.Param(jnp.zeros((vocab_size,), jnp.float32)) if bias else None

  def __call__(self, h_RxD):
    logits_RxV = frozen_dot(h_RxD, self.weight[...], 1)
    return logits_RxV if self.bias is None else logits_RxV + self.bias[...][None, :]


class Decoder(nnx.Module):
  """A frozen decoder-only language model.

  Args:
    vocab_size: V, rows of the embedding table.
    width: D.
    make_layer: makes one layer from random keys; called once for all.
    n_layers: how many there are.
    norm: the norm after the last layer.
    dtype: compute type of the matrices: float32 or bfloat16.
    head_bias: whether the head has a bias.
    rngs: keys for random weights (tests, benchmarks); loading replaces them.
  """

  def __init__(
    self,
    vocab_size: int,
    width: int,
    make_layer,
    n_layers: int,
    norm: nnx.Module,
    dtype,
    *,
    head_bias: bool = False,
    rngs: nnx.Rngs,
  ):
    self.embed_tokens = embedding(vocab_size, width, rngs)
    self.layers = stack_layers(make_layer, n_layers, rngs)
    self.norm = norm
    # Its own array even where it is tied, so that it can be held in the compute type.
    self.lm_head = Head(vocab_size, width, dtype, bias=head_bias, rngs=rngs)

  def embedding_table(self):
    """The table that prompts are projected to, (V, D), float32."""
    return self.embed_tokens[...]

  def embed(self, ids_S):
    """Input embeddings of token ids, (S, D), before positions are added."""
    return self.embed_tokens[...][ids_S]

  def hidden(self, x_SxD, positions_S, visible_SxS):
    """Final hidden states of one packed row.

    Args:
      x_SxD: input embeddings; soft-prompt vectors stand here like any others.
      positions_S: position number of each, below `max_position_embeddings`.
      visible_SxS: whether position i sees position j.

    Returns:
      (S, D), float32, after the last norm.
    """
    raise NotImplementedError

  def unembed(self, h_RxD):
    """Logits over the vocabulary, (R, V), float32."""
    return self.lm_head(h_RxD)


class RotaryDecoder(Decoder):
  """A decoder whose layers take `(h_SxD, visible_SxS, cos_Sx1xF, sin_Sx1xF)`."""

  def __init__(self, *args, frequencies: tuple[float, ...], **options):
    super().__init__(*args, **options)
    self.frequencies = frequencies

  def hidden(self, x_SxD, positions_S, visible_SxS):
    # The angles are the same in every layer, so they are computed once.
    turn = rotation(self.frequencies, positions_S)
    return self.norm(scan_layers(self.layers, x_SxD, visible_SxS, *turn))
