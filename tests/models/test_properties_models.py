"""Properties of any model file: it loads as a model, or is refused in one sentence."""

import json
import shutil

import gguf
import numpy as np
import pytest
import tiny
from forall import EDITS, HEADER_EDITS, JSON, SIZES, damage, edit_header, forall, outcome, put
from hypothesis import example
from hypothesis import strategies as st

from wayjax.models import load_lm

GGUF = tiny.GGUF_LLAMA.read_bytes()
METADATA = [key for key in gguf.GGUFReader(tiny.GGUF_LLAMA).fields if not key.startswith("GGUF.")]
TENSORS = [tensor.name for tensor in gguf.GGUFReader(tiny.GGUF_LLAMA).tensors]


@pytest.fixture
def folder(model_dir, tmp_path):
  return shutil.copytree(model_dir, tmp_path / "model")


def load(path):
  """Loads a model, and checks that it is complete if it loads."""
  lm = outcome(load_lm, str(path), precision="float32")
  if lm is not None:
    assert lm.table_VxD.shape == (len(lm.tokenizer), lm.width)
    assert lm.max_positions > 0
    assert lm.tokenizer.eos_token_id is not None
  return lm


@forall(10, edits=EDITS | st.just([]), header=HEADER_EDITS | st.just([]))
@example(edits=[(0, 8, (2**63).to_bytes(8, "little"))], header=[])
@example(edits=[], header=[(0, "shape", [10**18])])
@example(edits=[], header=[(0, "shape", [0, 2**64 - 1]), (0, "data_offsets", [0, 0])])
@example(edits=[], header=[(0, "dtype", "F4")])
def test_safetensors_of_any_content(model_dir, folder, edits, header):
  whole = (model_dir / "model.safetensors").read_bytes()
  put(folder / "model.safetensors", damage(edit_header(whole, header), edits))
  load(folder)


INDEX = st.fixed_dictionaries(
  {}, optional={"weight_map": st.dictionaries(st.text(), st.text() | JSON) | JSON}
)


@forall(10, index=INDEX | JSON)
@example(index={"weight_map": {"a\nb": "..", "wte.weight": "a\0b"}})
@example(index={"weight_map": {"wte.weight": "\ud800"}})
def test_an_index_of_any_content(folder, index):
  put(folder / "model.safetensors.index.json", json.dumps(index).encode())
  load(folder)


OPTIONS = [
  *tiny.CONFIGS["llama"],
  *tiny.CONFIGS["gptj"],
  "rope_theta",
  "rope_scaling",
  "head_dim",
  "rope_parameters",
  "partial_rotary_factor",
  "rotary_pct",
  "n_inner",
  "layer_types",
  "rms_norm_eps",
  "layer_norm_epsilon",
  "sliding_window",
  "use_sliding_window",
]
ROPE = st.fixed_dictionaries(
  {"rope_type": st.sampled_from(["llama3", "default"])},
  optional=dict.fromkeys(
    [
      "factor",
      "low_freq_factor",
      "high_freq_factor",
      "rope_theta",
      "partial_rotary_factor",
      "original_max_position_embeddings",
    ],
    st.floats(0, 1e308) | JSON,
  ),
)


@forall(
  15,
  model_type=st.sampled_from([*tiny.CONFIGS]),
  changes=st.dictionaries(
    st.sampled_from(OPTIONS), st.integers(1, 64) | SIZES | st.floats() | ROPE | JSON, max_size=3
  ),
)
@example(model_type="gpt2", changes={"n_layer": 10**18})
@example(model_type="gpt2", changes={"n_embd": 10**18, "n_head": 1})
@example(model_type="gpt2", changes={"layer_norm_epsilon": 10**400})
@example(model_type="llama", changes={"head_dim": 10**9})
@example(model_type="llama", changes={"rope_theta": 10**400})
@example(model_type="llama", changes={"partial_rotary_factor": 1e308})
@example(
  model_type="llama",
  changes=dict.fromkeys(
    ["hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim"],
    2**20,
  )
  | {"num_hidden_layers": 1000, "vocab_size": 2**31},
)
def test_a_configuration_of_any_content(folder, model_type, changes):
  config = tiny.CONFIGS[model_type] | changes
  put(folder / "config.json", json.dumps(config).encode())
  load(folder)


@forall(20, edits=EDITS)
def test_a_gguf_file_of_any_content(tmp_path, edits):
  load(put(tmp_path / "model.gguf", damage(GGUF, edits)))


VALUES = (
  st.none()
  | st.integers(0, 2**32 - 1)
  | st.sampled_from([0, 1, 2, 4, 8, 2**31, 2**32 - 1])
  | st.floats(width=32)
  | st.text(max_size=5)
  | st.lists(st.integers(0, 300), min_size=1, max_size=5)
  | st.lists(st.text(max_size=3), min_size=1, max_size=5)
)
FIELDS = st.dictionaries(
  st.sampled_from([key for key in METADATA if key != "general.architecture"])
  | st.sampled_from(["split.count", "llama.vocab_size", "llama.attention.causal", "llama.a\nb"]),
  VALUES,
  max_size=3,
)
SHAPES = st.sampled_from([(), (0,), (4,), (3, 0), (32, 32), (258, 32), (2, 2, 2), (2**58, 0)])
ARRAYS = st.tuples(SHAPES, st.sampled_from(["f4", "f2", "f8", "i1", "i2", "i4", "i8"]))


@forall(
  20,
  fields=FIELDS,
  tensors=st.dictionaries(
    st.sampled_from([*TENSORS, "rope_freqs.weight", "a\nb"]), ARRAYS, max_size=2
  ),
)
@example(fields={"llama.block_count": 2**32 - 1}, tensors={})
@example(fields={"llama.attention.key_length": 2**32 - 1}, tensors={})
@example(fields={"llama.a\nb": 1}, tensors={})
@example(fields={}, tensors={"token_embd.weight": ((), "f4")})
@example(fields={}, tensors={"rope_freqs.weight": ((), "f4")})
@example(fields={}, tensors={"rope_freqs.weight": ((2**60, 0), "f4")})
@example(fields={}, tensors={"token_embd.weight": ((258, 32), "i4")})
def test_gguf_fields_and_tensors_of_any_kind(tmp_path, fields, tensors):
  arrays = {name: np.ones(shape, kind) for name, (shape, kind) in tensors.items()}
  load(tiny.rewrite_gguf(tmp_path / "model.gguf", fields, tensors=arrays))
