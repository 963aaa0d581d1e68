"""A tiny model and tiny rows, written as the Hub lays files out."""

import csv
import dataclasses
import functools
import json
from pathlib import Path

import gguf
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from gguf import GGUFValueType
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.frame import NO_FRAME, Frame
from wayjax.devices.sharding import make_layout, place
from wayjax.models import FAMILIES, LanguageModel, gpt2
from wayjax.models.attention import Visible
from wayjax.models.weights import StoredTensor, load_weights

CONFIG = gpt2.GPT2Config(vocab_size=261, n_positions=160, n_embd=32, n_layer=2, n_head=4)
GOLDENS = Path(__file__).parent / "goldens"
GGUF_LLAMA = GOLDENS / "gguf-llama" / "model.gguf"
_TYPES = {str: GGUFValueType.STRING, int: GGUFValueType.UINT32, float: GGUFValueType.FLOAT32}
EOS = "<|endoftext|>"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


# Small models of every family, as their config.json; all but GPT-2's share keys and values.
CONFIGS = {
  "gpt2": {"model_type": "gpt2", **vars(CONFIG)},
  "llama": {
    "model_type": "llama",
    "vocab_size": 261,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 160,
    "tie_word_embeddings": False,
  },
  "gptj": {
    "model_type": "gptj",
    "vocab_size": 261,
    "n_positions": 160,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "rotary_dim": 4,
  },
}
CONFIGS["qwen2"] = {**CONFIGS["llama"], "model_type": "qwen2", "tie_word_embeddings": True}
CONFIGS["qwen3"] = {**CONFIGS["llama"], "model_type": "qwen3", "head_dim": 12}
CONFIGS["gpt_neox"] = {**CONFIGS["llama"], "model_type": "gpt_neox", "rotary_pct": 0.5}
CONFIGS["mistral"] = {**CONFIGS["llama"], "model_type": "mistral", "sliding_window": 140}
CONFIGS["olmo2"] = {**CONFIGS["llama"], "model_type": "olmo2"}
CONFIGS["phi3"] = {**CONFIGS["llama"], "model_type": "phi3", "partial_rotary_factor": 0.5}
CONFIGS["smollm3"] = {**CONFIGS["llama"], "model_type": "smollm3", "no_rope_layer_interval": 2}
CONFIGS["opt"] = {
  **{name: CONFIGS["llama"][name] for name in ("vocab_size", "hidden_size", "num_hidden_layers")},
  "model_type": "opt",
  "ffn_dim": 48,
  "num_attention_heads": 4,
  "max_position_embeddings": 160,
}
CONFIGS["gemma2"] = {
  **CONFIGS["llama"],
  "model_type": "gemma2",
  "head_dim": 12,
  "query_pre_attn_scalar": 7,
  "attn_logit_softcapping": 2.0,
  "final_logit_softcapping": 8.0,
  "tie_word_embeddings": True,
}
CONFIGS["gemma3_text"] = {
  **CONFIGS["llama"],
  "model_type": "gemma3_text",
  "head_dim": 12,
  "sliding_window": 140,
  "sliding_window_pattern": 2,
  "rope_theta": 500.0,
  "tie_word_embeddings": True,
}
CONFIGS["gemma3"] = {"model_type": "gemma3", "text_config": CONFIGS["gemma3_text"]}


def build(config: dict, dtype=jnp.float32):
  """A family, its hyper-parameters, and its model as structure and shapes."""
  family = FAMILIES[config["model_type"]]
  settings = family.read_config(config)
  return family, settings, *family.abstract(settings, dtype, "cpu")


def fill(config: dict, named: dict[str, np.ndarray], dtype=jnp.float32) -> nnx.Module:
  """A model with the weights that Hugging Face's files hold under these names."""
  family, settings, graphdef, abstract = build(config, dtype)
  stored = {
    family.without_prefix(name): StoredTensor(name, array.shape, lambda array=array: [array])
    for name, array in named.items()
  }
  params = load_weights(
    abstract,
    stored,
    family,
    tied=settings.tie_word_embeddings,
    transposed=family.transposed,
    layout=make_layout(devices=jax.devices()[:1]),
  )
  return nnx.merge(graphdef, params)


def tensors(config: dict | None = None, seed=0, prefix=None) -> dict[str, np.ndarray]:
  """Random weights under Hugging Face's names, large enough that every part matters."""
  family, settings, _, abstract = build(config or CONFIGS["gpt2"])
  prefix = family.prefixes[0] if prefix is None else prefix
  rng = np.random.default_rng(seed)
  named = {}
  for path, leaf in nnx.to_flat_state(abstract):
    source = family.tensor_name(path, settings.tie_word_embeddings)
    scale = 0.2 if path[-1] == "kernel" else 0.1
    value = rng.normal(1.0 if path[-1] == "scale" else 0.0, scale, leaf.shape).astype(np.float32)
    value *= 4 if path == ("norm", "scale") else 1
    if path[-1] == "kernel" and family.transposed:
      value = np.swapaxes(value, -1, -2)
    for layer, array in enumerate(value) if "{}" in source else [(0, value)]:
      name = source.format(layer)
      name = name if path[0] == "lm_head" and name != source_of_table(family) else prefix + name
      named.setdefault(name, np.ascontiguousarray(array))
  return named


def stored_tensors(config: dict | None = None, prefix=None) -> dict[str, np.ndarray]:
  """The same as files hold them: some families store the weights of norms less 1."""
  named = tensors(config, prefix=prefix)
  less_one = FAMILIES[(config or CONFIGS["gpt2"])["model_type"]].norms_less_one
  return {name: array - (less_one and "norm" in name) for name, array in named.items()}


def source_of_table(family) -> str:
  return family.tensor_name(("embed_tokens",), False)


def save_tokenizer(folder: Path, most: int | None = None) -> None:
  """A byte-level tokenizer without merges: EOS, and every byte or the first few, are tokens."""
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[:most]
  vocab = {char: i for i, char in enumerate([EOS, *alphabet])}
  tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS).save_pretrained(folder)


def save_config(folder: Path, config: dict | None = None, **changes) -> None:
  (folder / "config.json").write_text(json.dumps({**(config or CONFIGS["gpt2"]), **changes}))


def save_model(folder: Path, config: dict | None = None) -> Path:
  folder.mkdir(exist_ok=True)
  save_config(folder, config)
  save_tokenizer(folder)
  save_file(stored_tensors(config), folder / "model.safetensors")
  return folder


def rewrite_gguf(path, fields=(), without=(), tensors=()):
  """A copy of the small Llama's GGUF file with other fields, without or with other tensors."""
  reader, fields = gguf.GGUFReader(GGUF_LLAMA), dict(fields)
  writer = gguf.GGUFWriter(path, fields.pop("general.architecture", "llama"))
  for key, field in reader.fields.items():
    if key.startswith("GGUF.") or key in fields or key == "general.architecture":
      continue
    kind = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
    writer.add_key_value(key, field.contents(), field.types[0], kind)
  for key, value in fields.items():
    if isinstance(value, list):
      writer.add_array(key, value)
    elif value is not None:
      writer.add_key_value(key, value, _TYPES[type(value)])
  added = dict(tensors)
  for tensor in reader.tensors:
    if tensor.name not in (*without, *added):
      writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
  for name, array in added.items():
    writer.add_tensor(name, array)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


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


def frame_of(before: int, after: int) -> Frame:
  """A frame of so many tokens on either side."""
  return Frame("b", "a", "", tuple(range(40, 40 + before)), tuple(range(90, 90 + after)))


def examples(
  rng, lengths=(3, 7, 1, 5, 9, 4), classes=3, vocab=257, frame=NO_FRAME
) -> EncodedExamples:
  """Random encoded examples; continuations are of 1, 2, ... tokens."""
  return EncodedExamples(
    prefixes=tuple(rng.integers(vocab, size=n).astype(np.int32) for n in lengths),
    candidates=tuple(
      np.array([5 + c, *rng.integers(vocab, size=c)], np.int32) for c in range(classes)
    ),
    labels=rng.integers(classes, size=len(lengths)).astype(np.int32),
    frame=frame,
  )


def pack(encoded, rows, text=None, scored=None) -> packing.PackedRow:
  """Packs one batch, or several stacked ones, in the smallest row or one of the sizes given."""
  tokens, rows = jax.device_put(packing.training_tokens(encoded)), np.array(rows)
  lengths = np.asarray(tokens.lengths_N)[rows]
  text = text or max(int(lengths.sum(-1).max()), 1)
  scored = scored or int(np.asarray(tokens.scored_N)[rows].sum(-1).max())
  reach = packing.reach_of(lengths)
  sizes = {"text": text, "scored": scored, "reach": reach, "frame": encoded.frame}
  pack_one = functools.partial(packing.pack_training, tokens, **sizes)
  return pack_one(rows) if rows.ndim == 1 else jax.vmap(pack_one)(rows)


def causal(size: int) -> Visible:
  """A plain row: every position sees those before it, and itself."""
  return Visible(jnp.tril(jnp.ones((size, size), bool)), prompt=size, reach=0)


LONGEST = 28  # tokens of an unpacked row; what stands after an example's own is never read


@functools.partial(jax.jit, static_argnums=(2, 3))
def _row_losses(prompt_PxD, ids_L, model_type, frame=NO_FRAME):
  """Log-loss of every token of one plain causal row, `[before][prompt][after][ids]`."""
  model = random_model(model_type)
  around = [model.embed(np.array(ids, np.int32)) for ids in (frame.before_ids, frame.after_ids)]
  x_SxD = jnp.concatenate([around[0], prompt_PxD, around[1], model.embed(ids_L)])
  size = len(x_SxD)
  hidden_SxD = model.hidden(x_SxD, jnp.arange(size), causal(size))
  losses_SxV = -jax.nn.log_softmax(model.lm_head(hidden_SxD))[size - len(ids_L) - 1 : -1]
  return losses_SxV[jnp.arange(len(ids_L)), ids_L]


@functools.partial(jax.jit, static_argnums=(3, 4))
@jax.value_and_grad
def _row_mean(prompt_PxD, ids_L, scored_L, model_type, frame):
  losses_L = _row_losses(prompt_PxD, ids_L, model_type, frame)
  return jnp.sum(losses_L * scored_L) / jnp.sum(scored_L)


def _row(prefix, candidate):
  """One example as a row, and 1 where a token is scored."""
  ids = np.concatenate([prefix, candidate])
  after = LONGEST - len(ids)
  assert after >= 0
  scored = np.repeat(np.float32([0, 1, 0]), [len(prefix), len(candidate), after])
  return np.pad(ids, (0, after)), scored


def unpacked_losses(prompt_PxD, prefix, candidate, model_type="gpt2", frame=NO_FRAME) -> np.ndarray:
  """Log-losses of a continuation, one example a row."""
  ids, scored = _row(prefix, candidate)
  return np.asarray(_row_losses(prompt_PxD, ids, model_type, frame))[scored > 0]


def unpacked_cross_entropy(prompt_PxD, encoded, rows, model_type="gpt2"):
  """Mean over each label's tokens, then over the examples; and its gradient at the prompt."""
  values, gradients = zip(
    *(
      _row_mean(
        prompt_PxD,
        *_row(encoded.prefixes[i], encoded.candidates[encoded.labels[i]]),
        model_type,
        encoded.frame,
      )
      for i in rows
    )
  )
  return np.mean(values), np.mean(gradients, axis=0)


GREEDY = 64  # positions of the plain loop; what stands after a sequence is not seen by it


def greedy(lm, prompt_PxD, ids, count, frame=NO_FRAME, ends=()) -> list[int]:
  """Generated ids by a plain loop: the whole sequence is read again for every token."""
  table_VxD, never = np.asarray(lm.table_VxD), list(lm.rows_of_no_token)
  found = []
  while len(found) < count and not (found and found[-1] in (lm.tokenizer.eos_token_id, *ends)):
    before, rest = list(frame.before_ids), [*frame.after_ids, *ids, *found]
    x_SxD = np.concatenate([table_VxD[before], prompt_PxD, table_VxD[rest]])
    padded_SxD = np.pad(x_SxD, ((0, GREEDY - len(x_SxD)), (0, 0)))
    logits_V = np.array(_plain_logits(lm.graphdef, lm.params, padded_SxD)[len(x_SxD) - 1])
    logits_V[never] = -np.inf
    found.append(int(logits_V.argmax()))
  return found


@functools.partial(jax.jit, static_argnums=0)
def _plain_logits(graphdef, params, x_SxD):
  model = nnx.merge(graphdef, params)
  return model.lm_head(model.hidden(x_SxD, jnp.arange(GREEDY), causal(GREEDY)))


def over(lm: LanguageModel, devices: int, model_parallel: int = 1) -> LanguageModel:
  """The same model on the first devices."""
  layout = make_layout(model_parallel, jax.devices()[:devices])
  params = jax.tree.map(lambda x: place(x, layout.weight(x.shape)), lm.params)
  return dataclasses.replace(lm, params=params, layout=layout)


@functools.cache
def random_model(model_type: str = "gpt2") -> nnx.Module:
  """The tiny model with the weights that `save_model` writes."""
  config = CONFIGS[model_type]
  with jax.ensure_compile_time_eval():  # tests call this while they trace
    return fill(config, tensors(config))
