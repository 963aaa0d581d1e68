"""A tiny model and tiny rows, written as the Hub lays files out."""

import csv
import functools
import json
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from wayjax.encoding import EncodedExamples
from wayjax.models import gpt2
from wayjax.models.weights import find_tensors, load_weights

CONFIG = gpt2.GPT2Config(vocab_size=261, n_positions=160, n_embd=32, n_layer=2, n_head=4)
EOS = "<|endoftext|>"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def tensors(config=CONFIG, seed=0, prefix="transformer.") -> dict[str, np.ndarray]:
  """Random weights under Hugging Face's names, large enough that every part matters."""
  model = gpt2.GPT2(config, jnp.float32, rngs=nnx.Rngs(0))
  rng = np.random.default_rng(seed)
  named = {}
  for path, leaf in nnx.to_flat_state(nnx.split(model)[1]):
    source = gpt2.TENSORS[path]
    scale = 0.2 if path[-1] == "kernel" else 0.1
    value = rng.normal(1.0 if path[-1] == "scale" else 0.0, scale, leaf.shape).astype(np.float32)
    for layer, array in enumerate(value) if "{}" in source else [(0, value)]:
      named.setdefault(prefix + source.format(layer), np.ascontiguousarray(array))
  named[f"{prefix}ln_f.weight"] *= 4
  return named


def save_tokenizer(folder: Path) -> None:
  """A byte-level tokenizer without merges: every byte is a token, and EOS is one more."""
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  vocab = {char: i for i, char in enumerate([EOS, *alphabet])}
  tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS).save_pretrained(folder)


def save_config(folder: Path, config=CONFIG, **changes) -> None:
  fields = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **vars(config), **changes}
  (folder / "config.json").write_text(json.dumps(fields))


def save_model(folder: Path, config=CONFIG) -> Path:
  folder.mkdir(exist_ok=True)
  save_config(folder, config)
  save_tokenizer(folder)
  save_file(tensors(config), folder / "model.safetensors")
  return folder


def save_rows(folder: Path, train=60, test=20) -> Path:
  """Rows of sst2 whose class stands in one word."""
  rng = np.random.default_rng(0)
  (folder / "sst2").mkdir()
  for split, count in (("train", train), ("test", test)):
    with (folder / "sst2" / f"{split}.csv").open("w", newline="") as file:
      writer = csv.writer(file)
      writer.writerow(["text", "label"])
      for _ in range(count):
        label = int(rng.integers(2))
        writer.writerow([f"{rng.integers(100)} {['sad', 'fun'][label]}", label])
  return folder


def cached_repo(cache, kind, repo_id):
  """A repository in the cache, as a download leaves it; returns the snapshot's folder."""
  repo = cache / f"{kind}s--{repo_id.replace('/', '--')}"
  (repo / "refs").mkdir(parents=True)
  (repo / "refs" / "main").write_text(COMMIT)
  folder = repo / "snapshots" / COMMIT
  folder.mkdir(parents=True)
  return folder


def examples(rng, lengths=(3, 7, 1, 5, 9, 4), classes=3, vocab=257) -> EncodedExamples:
  """Random encoded examples; continuations are of 1, 2, ... tokens."""
  return EncodedExamples(
    prefixes=tuple(rng.integers(vocab, size=n).astype(np.int32) for n in lengths),
    candidates=tuple(
      np.array([5 + c, *rng.integers(vocab, size=c)], np.int32) for c in range(classes)
    ),
    labels=rng.integers(classes, size=len(lengths)).astype(np.int32),
  )


LONGEST = 24  # tokens of an unpacked row; what stands after an example's own is never read


@jax.jit
def _row_losses(prompt_PxD, ids_L):
  """Log-loss of every token of one plain causal row, `[prompt][ids]`."""
  model = random_model()
  x_SxD = jnp.concatenate([prompt_PxD, model.embed(ids_L)])
  size = len(x_SxD)
  hidden_SxD = model.hidden(x_SxD, jnp.arange(size), jnp.tril(jnp.ones((size, size), bool)))
  losses_SxV = -jax.nn.log_softmax(model.unembed(hidden_SxD))[len(prompt_PxD) - 1 : -1]
  return losses_SxV[jnp.arange(len(ids_L)), ids_L]


@jax.jit
@jax.value_and_grad
def _row_mean(prompt_PxD, ids_L, scored_L):
  return jnp.sum(_row_losses(prompt_PxD, ids_L) * scored_L) / jnp.sum(scored_L)


def _row(prefix, candidate):
  """One example as a row, and 1 where a token is scored."""
  ids = np.concatenate([prefix, candidate])
  after = LONGEST - len(ids)
  assert after >= 0
  scored = np.repeat(np.float32([0, 1, 0]), [len(prefix), len(candidate), after])
  return np.pad(ids, (0, after)), scored


def unpacked_losses(prompt_PxD, prefix, candidate) -> np.ndarray:
  """Log-losses of a continuation, one example a row."""
  ids, scored = _row(prefix, candidate)
  return np.asarray(_row_losses(prompt_PxD, ids))[scored > 0]


def unpacked_cross_entropy(prompt_PxD, encoded, rows):
  """Mean over each label's tokens, then over the examples; and its gradient at the prompt."""
  values, gradients = zip(
    *(
      _row_mean(prompt_PxD, *_row(encoded.prefixes[i], encoded.candidates[encoded.labels[i]]))
      for i in rows
    )
  )
  return np.mean(values), np.mean(gradients, axis=0)


@functools.cache
def random_model() -> nnx.Module:
  """The tiny model with the weights that `save_model` writes."""
  graphdef, abstract = nnx.split(
    nnx.eval_shape(lambda: gpt2.GPT2(CONFIG, jnp.float32, rngs=nnx.Rngs(0)))
  )
  # Tests call this while they trace, and the weights are to be plain arrays even then.
  with jax.ensure_compile_time_eval(), tempfile.TemporaryDirectory() as folder:
    save_file(tensors(), Path(folder) / "model.safetensors")
    params = load_weights(
      abstract, find_tensors(Path(folder)), gpt2.TENSORS, gpt2.IGNORED, gpt2.PREFIX
    )
  return nnx.merge(graphdef, params)
