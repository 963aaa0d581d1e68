"""Every family's GGUF files, written as llama.cpp's converter writes them, are its folders."""

import json
import math

import gguf
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from safetensors.numpy import load_file
from tiny import GOLDENS
from tokenizers.pre_tokenizers import ByteLevel

from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.models.folder import Folder

ARCHITECTURES = {"mistral": "llama", "gemma3_text": "gemma3"}
# What the files cannot say, so that a reader takes it for granted.
IMPLIED = {
  "smollm3": {"no_rope_layers": None},
  "gemma2": {"query_pre_attn_scalar": 12},
  "gemma3": {
    "query_pre_attn_scalar": 12,
    "layer_types": None,
    "rope_local_base_freq": 10_000.0,
    "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4, "rope_theta": 1e3}},
  },
}
NAMES = ["llama-grouped-tied", "mistral", "olmo2", "smollm3", "phi3", "gemma2", "gemma3"]


def permute(rows, heads):
  """Rows of q and k in the order of interleaved rotary pairs."""
  return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def write(path, name, **fields):
  """The golden model of that name as a GGUF file."""
  config = json.loads((GOLDENS / name / "config.json").read_text())
  kind = config["model_type"]
  architecture = ARCHITECTURES.get(kind, kind)
  writer = gguf.GGUFWriter(path, architecture)
  writer.add_context_length(config["max_position_embeddings"])
  writer.add_embedding_length(config["hidden_size"])
  writer.add_block_count(config["num_hidden_layers"])
  writer.add_feed_forward_length(config["intermediate_size"])
  writer.add_head_count(config["num_attention_heads"])
  writer.add_head_count_kv(config["num_key_value_heads"])
  writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
  rope = config["rope_parameters"]
  rope = rope.get("full_attention", rope)
  writer.add_rope_freq_base(rope["rope_theta"])
  if "head_dim" in config:
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
  if kind.startswith("gemma") or kind == "phi3":
    writer.add_sliding_window(config["sliding_window"])
  if kind == "gemma2":
    writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
    writer.add_final_logit_softcapping(config["final_logit_softcapping"])
  if rope["rope_type"] == "linear":
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(rope["factor"])
  if kind == "phi3":
    writer.add_rope_dimension_count(6)
    writer.add_rope_scaling_orig_ctx_len(32)
    writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(2) / math.log(32)))
    for length in ("short", "long"):
      factors = np.array(rope[f"{length}_factor"], np.float32)
      writer.add_tensor(f"rope_factors_{length}.weight", factors)
  for key, value in fields.items():
    writer.add_uint32(key, value)
  writer.add_tokenizer_model("gpt2")
  writer.add_tokenizer_pre("gpt-2")
  letters = sorted(ByteLevel.alphabet())[: config["vocab_size"] - 2]
  writer.add_token_list(["<|endoftext|>", *letters, letters[0] + letters[1]])
  writer.add_token_types([3] + [1] * (config["vocab_size"] - 1))
  writer.add_token_merges([f"{letters[0]} {letters[1]}"])
  writer.add_eos_token_id(0)
  (arch,) = (a for a, known in gguf.MODEL_ARCH_NAMES.items() if known == architecture)
  names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
  heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
  for tensor, array in load_file(GOLDENS / name / "model.safetensors").items():
    module = tensor.split(".")[-2]
    if architecture in ("llama", "smollm3") and module in heads:
      array = permute(array, heads[module])
    if kind.startswith("gemma") and module.endswith("norm"):
      array = 1 + array
    writer.add_tensor(names.get_name(tensor, (".weight", ".bias")), np.ascontiguousarray(array))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_the_folder_that_it_was_made_of(name, tmp_path, rng):
  files = Folder(GOLDENS / name)
  config = files.config | IMPLIED.get(name, {})
  family, settings, _, _ = tiny.build(config)
  stored, _ = files.find_tensors(family, set())
  expected = tiny.fill(config, {tensor.name: tensor.read() for tensor in stored.values()})
  lm = load_lm(str(write(tmp_path / "model.gguf", name)), precision="float32")
  window = None if name == "mistral" else settings.sliding_window  # no file of a llama has one
  assert lm.max_positions == min(settings.max_position_embeddings, window or 99)
  x_SxD = rng.normal(size=(20, lm.width)).astype(np.float32)
  both = [logits(model, x_SxD) for model in (expected, nnx.merge(lm.graphdef, lm.params))]
  assert both[0].std() > 0.5
  np.testing.assert_allclose(*both, atol=2e-5)


@nnx.jit
def logits(model, x_SxD):
  """Logits of a plain row, (S, V)."""
  return model.lm_head(model.hidden(x_SxD, jnp.arange(len(x_SxD)), tiny.causal(len(x_SxD))))


@pytest.mark.parametrize(
  ("name", "layers", "heads"), [("gemma2", 46, 32), ("gemma3", 62, 32), ("gemma3", 26, 8)]
)
def test_the_scale_of_attention_of_each_size_of_gemma(name, layers, heads):
  """The models of 27B scale by the width for each head, others by the width of a head."""
  gguf_options = tiny.build(tiny.CONFIGS["gemma2"])[0].gguf
  config = {"model_type": name, "num_hidden_layers": layers, "num_attention_heads": heads}
  config |= {"hidden_size": 5376, "head_dim": 128}
  expected = 168 if layers > 40 else 128
  assert gguf_options.implied(config) == {"query_pre_attn_scalar": expected}


def test_layers_that_read_token_ids_are_refused_by_name(tmp_path):
  field = {"gemma2.embedding_length_per_layer_input": 256}
  with pytest.raises(WayjaxError, match="type 'gemma2', whose layers read embeddings"):
    load_lm(str(write(tmp_path / "model.gguf", "gemma2", **field)))
