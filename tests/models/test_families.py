"""Every family against Hugging Face's PyTorch; goldens/make.py made the numbers."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from tiny import GOLDENS

from wayjax.errors import WayjaxError
from wayjax.models import FAMILIES, attention, decoder, gptj, layers, llama, load_lm, rotary
from wayjax.models.folder import Folder

FOLDERS = sorted(path.parent.name for path in GOLDENS.glob("*/config.json"))
GGUFS = sorted(path.parent.name for path in GOLDENS.glob("*/model.gguf"))
TOLERANCE = 1e-4


def load(name, dtype=jnp.float32, **changes):
  """The model of a folder of goldens, with other options as in `changes`."""
  folder = Folder(GOLDENS / name)
  config = folder.config | changes
  family, _, _, _ = tiny.build(config)
  stored, _ = folder.find_tensors(family, set())
  return tiny.fill(config, {tensor.name: tensor.read() for tensor in stored.values()}, dtype)


def rope(name, **changes):
  """The rotary options of a folder of goldens, changed."""
  config = json.loads((GOLDENS / name / "config.json").read_text())
  return {"rope_parameters": config["rope_parameters"] | changes}


def errors(model, name, shift=0):
  """Largest differences from the golden logits and gradient."""
  golden = np.load(GOLDENS / name / "golden.npz")
  ids_T = golden["ids_T"]

  def loss(prompt_PxD):
    x_SxD = jnp.concatenate([prompt_PxD, model.embed(ids_T)])
    visible = tiny.causal(len(x_SxD))
    logits_SxV = model.lm_head(model.hidden(x_SxD, shift + jnp.arange(len(x_SxD)), visible))
    losses_SxV = -jax.nn.log_softmax(logits_SxV)
    scored = losses_SxV[len(prompt_PxD) - 1 : -1]
    return jnp.mean(scored[jnp.arange(len(ids_T)), ids_T]), logits_SxV

  gradient, logits_SxV = jax.jit(jax.grad(loss, has_aux=True))(golden["prompt_PxD"])
  assert golden["logits_SxV"].std() >= 1
  return (
    np.abs(logits_SxV - golden["logits_SxV"]).max(),
    np.abs(gradient - golden["gradient_PxD"]).max(),
  )


def test_every_family_has_goldens():
  types = {json.loads((GOLDENS / n / "config.json").read_text())["model_type"] for n in FOLDERS}
  assert types == set(FAMILIES)
  assert {name.removeprefix("gguf-") for name in GGUFS} <= {
    n for n, f in FAMILIES.items() if f.gguf
  }


@pytest.mark.parametrize("name", FOLDERS)
def test_logits_and_prompt_gradient_agree_with_pytorch(name):
  assert max(errors(load(name), name)) < TOLERANCE


@pytest.mark.parametrize("name", GGUFS)
def test_a_gguf_file_agrees_with_pytorch(name):
  lm = load_lm(str(GOLDENS / name / "model.gguf"), precision="float32")
  assert max(errors(nnx.merge(lm.graphdef, lm.params), name)) < TOLERANCE
  ids = lm.tokenizer("the né 12")["input_ids"]
  assert lm.tokenizer.convert_ids_to_tokens(ids)[:2] == ["th", "e"]
  assert lm.tokenizer.decode(ids) == "the né 12"


class TestGoldensAreSensitive:
  """Every easy mistake must break the agreement."""

  @pytest.mark.parametrize(
    ("name", "changes"),
    [
      ("gpt2", {"layer_norm_epsilon": 1e-6}),
      ("gpt2", {"layer_norm_epsilon": 1e-12}),
      ("llama-grouped-tied", {"rms_norm_eps": 1e-6}),
      ("llama-grouped-tied", rope("llama-grouped-tied", rope_theta=20_000.0)),
      ("llama3-untied-biases", {"rms_norm_eps": 1e-6}),
      ("llama3-untied-biases", rope("llama3-untied-biases", rope_theta=120.0)),
      ("llama3-untied-biases", rope("llama3-untied-biases", factor=8.0)),
      ("llama3-untied-biases", rope("llama3-untied-biases", low_freq_factor=2.0)),
      ("llama3-untied-biases", rope("llama3-untied-biases", rope_type="default")),
      ("qwen2", {"rms_norm_eps": 1e-6}),
      ("qwen2", rope("qwen2", rope_theta=20_000.0)),
      ("qwen3", {"rms_norm_eps": 1e-6}),
      ("qwen3", rope("qwen3", rope_theta=20_000.0)),
      ("gpt_neox-padded", {"layer_norm_eps": 1e-6}),
      ("gpt_neox-padded", {"use_parallel_residual": False}),
      ("gpt_neox-padded", rope("gpt_neox-padded", rope_theta=5_000.0)),
      ("gpt_neox-padded", rope("gpt_neox-padded", partial_rotary_factor=0.5)),
      ("gpt_neox-sequential", {"layer_norm_eps": 1e-6}),
      ("gpt_neox-sequential", rope("gpt_neox-sequential", rope_theta=20_000.0)),
      ("gptj", {"layer_norm_epsilon": 1e-6}),
      ("gptj", {"rotary_dim": 4}),
    ],
  )
  def test_option(self, name, changes):
    assert min(errors(load(name, **changes), name)) > 10 * TOLERANCE

  @pytest.mark.parametrize(
    ("name", "activation", "wrong"),
    [
      ("gpt2", "gelu_new", "gelu"),
      ("gpt_neox-padded", "gelu", "gelu_new"),
      ("gpt_neox-sequential", "gelu_fast", "gelu"),
      ("gptj", "gelu_new", "gelu"),
    ],
  )
  def test_form_of_gelu(self, name, activation, wrong, monkeypatch):
    monkeypatch.setitem(layers.ACTIVATIONS, activation, layers.ACTIVATIONS[wrong])
    assert min(errors(load(name), name)) > TOLERANCE

  @pytest.mark.parametrize("name", [name for name in FOLDERS if name.startswith(("llama", "qwen"))])
  def test_activation(self, name, monkeypatch):
    monkeypatch.setitem(layers.ACTIVATIONS, "silu", layers.ACTIVATIONS["gelu"])
    assert min(errors(load(name), name)) > 10 * TOLERANCE

  @pytest.mark.parametrize("name", ["gpt2", "llama-grouped-tied", "gptj"])
  def test_attention_scale(self, name, monkeypatch):
    monkeypatch.setattr(decoder, "attention", lambda q, *rest: attention.attention(1.1 * q, *rest))
    assert min(errors(load(name), name)) > 10 * TOLERANCE

  def test_the_fixed_base_of_gptj(self, monkeypatch):
    assert load("gptj", rope_theta=20_000.0) is not None
    monkeypatch.setattr(
      gptj, "read_frequencies", lambda _, n: rotary.read_frequencies({"rope_theta": 20_000.0}, n)
    )
    assert min(errors(load("gptj"), "gptj")) > 10 * TOLERANCE

  def test_positions_off_by_one(self):
    assert min(errors(load("gpt2"), "gpt2", shift=1)) > 10 * TOLERANCE

  @pytest.mark.parametrize(("name", "module"), [("llama-grouped-tied", llama), ("gptj", gptj)])
  def test_pairs_of_the_rotation(self, name, module, monkeypatch):
    other = functools.partial(module.rotate, interleaved=module is llama)
    monkeypatch.setattr(module, "rotate", lambda x, cos, sin, **_: other(x, cos, sin))
    assert min(errors(load(name), name)) > 10 * TOLERANCE

  def test_heads_of_a_group_are_neighbours(self, monkeypatch):
    mixed = jnp.array([0, 2, 1, 3])
    monkeypatch.setattr(
      decoder, "attention", lambda q, *rest: attention.attention(q[:, mixed], *rest)[:, mixed]
    )
    assert min(errors(load("llama-grouped-tied"), "llama-grouped-tied")) > 10 * TOLERANCE


@pytest.mark.parametrize("name", FOLDERS)
def test_bfloat16_is_near_and_accumulates_in_float32(name):
  model = load(name, jnp.bfloat16)
  assert model.lm_head.weight[...].dtype == jnp.bfloat16
  assert model.embedding_table().dtype == jnp.float32
  std = np.load(GOLDENS / name / "golden.npz")["logits_SxV"].std()
  assert TOLERANCE < errors(model, name)[0] < 0.2 * std


@pytest.mark.parametrize(
  ("model_type", "option", "value"),
  [
    ("gpt2", "activation_function", "quick_gelu"),
    ("gpt2", "scale_attn_by_inverse_layer_idx", True),
    ("gpt2", "add_cross_attention", True),
    ("gpt2", "scale_attn_weights", False),
    ("llama", "hidden_act", "gelu"),
    ("llama", "sliding_window", 4096),
    ("llama", "partial_rotary_factor", 0.5),
    ("llama", "num_key_value_heads", 3),
    ("llama", "head_dim", 7),
    ("llama", "vocab_size", None),
    ("llama", "rms_norm_eps", -1e-5),
    ("llama", "attention_bias", "yes"),
    ("llama", "rope_theta", "big"),
    ("qwen2", "hidden_act", "relu"),
    ("qwen2", "layer_types", ["full_attention", "sliding_attention"]),
    ("gpt_neox", "hidden_act", "swish"),
    ("gpt_neox", "rotary_pct", 2.0),
    ("gptj", "activation_function", "swish"),
    ("gptj", "activation_function", ["gelu"]),
    ("llama", "rope_scaling", "linear"),
    ("llama", "rope_parameters", {"full_attention": {"rope_theta": 1e6, "rope_type": "yarn"}}),
    ("llama", "rope_divisors", [1.0, 1.0]),
    ("gptj", "rotary_dim", None),
    ("gptj", "rotary_dim", 12),
  ],
)
def test_options_that_are_not_implemented_are_refused_by_name(model_type, option, value):
  names = {"head_dim": "head", "layer_types": "sliding_window", "rotary_pct": "rotary"}
  names |= {"rotary_dim": "rotary", "rope_divisors": "divisors"}
  with pytest.raises(WayjaxError, match=names.get(option, option)):
    tiny.build({**tiny.CONFIGS[model_type], option: value})


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gpt_neox"])
@pytest.mark.parametrize("key", ["rope_type", "type"])
@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "longrope"])
def test_other_rope_types_are_refused(model_type, key, kind):
  config = {**tiny.CONFIGS[model_type], "rope_scaling": {key: kind, "factor": 2.0}}
  with pytest.raises(WayjaxError, match=f"rope_type to '{kind}'"):
    tiny.build(config)


@pytest.mark.parametrize(
  "options",
  [
    {"factor": None},
    {"factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0},
    {"factor": "8", "low_freq_factor": 1.0, "high_freq_factor": 4.0},
  ],
)
def test_senseless_llama3_scaling_is_refused(options):
  config = {**tiny.CONFIGS["llama"], "rope_scaling": {"rope_type": "llama3", **options}}
  with pytest.raises(WayjaxError, match="factor"):
    tiny.build(config)


def test_old_and_new_rotary_options_are_the_same():
  scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
  scaling |= {"original_max_position_embeddings": 64}
  old = {"rope_theta": 500.0, "rope_scaling": {"rope_type": "llama3", **scaling}}
  new = {"rope_parameters": {"rope_theta": 500.0, "rope_type": "llama3", **scaling}}
  read = FAMILIES["llama"].read_config
  both = [read({**tiny.CONFIGS["llama"], **options}).frequencies for options in (old, new)]
  assert both[0] == both[1] != read({**tiny.CONFIGS["llama"], "rope_theta": 500.0}).frequencies
  neox = FAMILIES["gpt_neox"].read_config
  base = tiny.CONFIGS["gpt_neox"]
  parameters = {"rope_theta": 500.0, "partial_rotary_factor": 0.5}
  old = neox({**base, "rotary_emb_base": 500.0, "rotary_pct": 0.5})
  assert old == neox({**base, "rope_parameters": parameters})
  # Outside rope_parameters Hugging Face reads GPT-NeoX's own names only.
  assert old == neox({**base, "rotary_emb_base": 500.0, "rope_theta": 7.0})


def test_gpt2_accepts_the_option_names_of_other_families():
  names = {"n_head": "num_attention_heads", "n_layer": "num_hidden_layers"}
  names |= {"n_embd": "hidden_size", "n_positions": "max_position_embeddings"}
  for model_type in ("gpt2", "gptj"):
    config, read = tiny.CONFIGS[model_type], FAMILIES[model_type].read_config
    assert read({names.get(name, name): value for name, value in config.items()}) == read(config)


def test_a_sliding_window_that_no_layer_uses_is_accepted():
  read = FAMILIES["qwen2"].read_config
  config = {**tiny.CONFIGS["qwen2"], "sliding_window": 64}
  assert read(config) == read({**config, "use_sliding_window": True, "max_window_layers": 2})
  with pytest.raises(WayjaxError, match=r"uses a sliding_window .sliding_window: 64"):
    read({**config, "use_sliding_window": True, "max_window_layers": 1})


@pytest.mark.parametrize(
  ("model_type", "heads"), [("gpt2", "n_head"), ("llama", "num_attention_heads")]
)
def test_heads_must_divide_the_width(model_type, heads):
  with pytest.raises(WayjaxError, match=f"{heads} 5"):
    tiny.build({**tiny.CONFIGS[model_type], heads: 5})
