"""Every family against Hugging Face's PyTorch; goldens/make.py made the numbers."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from safetensors.numpy import save_file
from tiny import GOLDENS

from wayjax.errors import WayjaxError
from wayjax.generation.generate import generate
from wayjax.models import (
  FAMILIES,
  attention,
  decoder,
  folder,
  gptj,
  layers,
  llama,
  load_lm,
  phi3,
  rope_scaling,
  weights,
)
from wayjax.models.folder import Folder

FOLDERS = sorted(path.parent.name for path in GOLDENS.glob("*/config.json"))
GGUFS = sorted(path.parent.name for path in GOLDENS.glob("*/model.gguf"))
TOLERANCE = 1e-4
SILU = ["llama-grouped-tied", "llama3-untied-biases", "qwen2", "qwen3", "mistral", "olmo2", "phi3"]


def load(name, dtype=jnp.float32, **changes):
  """The model of a folder of goldens, with other options as in `changes`."""
  files = Folder(GOLDENS / name)
  config = files.config | changes
  family, _, _, _ = tiny.build(config)
  stored, _ = files.find_tensors(family, set())
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
  assert types == set(FAMILIES) - {"gemma3"}  # which holds a gemma3_text
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


class Nothing(nnx.Module):
  """In place of a norm."""

  def __call__(self, x):
    return x


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
      ("mistral", {"rms_norm_eps": 1e-6}),
      ("mistral", rope("mistral", rope_theta=20_000.0)),
      ("olmo2", {"rms_norm_eps": 1e-3}),
      ("olmo2", rope("olmo2", rope_theta=20_000.0)),
      ("smollm3", {"rms_norm_eps": 1e-6}),
      ("smollm3", {"no_rope_layers": [1, 1, 1, 1]}),
      ("smollm3", {"no_rope_layers": [0, 1, 0, 1]}),
      ("smollm3", {"no_rope_layers": None}),  # every fourth
      ("opt", {"activation_function": "gelu"}),
      ("phi3", {"rms_norm_eps": 1e-6}),
      ("phi3", rope("phi3", short_factor=[1.0, 1.3, 2.1])),
      ("phi3", rope("phi3", attention_factor=1.0)),
      ("gemma2", {"rms_norm_eps": 1e-6}),
      ("gemma2", {"attn_logit_softcapping": None}),
      ("gemma2", {"attn_logit_softcapping": 2.1}),
      ("gemma2", {"final_logit_softcapping": None}),
      ("gemma2", {"final_logit_softcapping": 6.1}),
      ("gemma2", {"query_pre_attn_scalar": 12}),
      ("gemma3", {"rms_norm_eps": 1e-6}),
      ("gemma3", {"query_pre_attn_scalar": 12}),
      ("gemma3", {"layer_types": ["full_attention"] * 3}),  # one base
      ("gemma3", {"layer_types": ["sliding_attention"] * 3}),
      ("gemma3", {"layer_types": None}),  # all of three are local
      ("gemma3-untied", {"rms_norm_eps": 1e-6}),
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
      ("gemma2", "gelu_pytorch_tanh", "gelu"),
      ("gemma3", "gelu_pytorch_tanh", "gelu"),
    ],
  )
  def test_form_of_gelu(self, name, activation, wrong, monkeypatch):
    monkeypatch.setitem(layers.ACTIVATIONS, activation, layers.ACTIVATIONS[wrong])
    assert min(errors(load(name), name)) > TOLERANCE

  @pytest.mark.parametrize("name", SILU)
  def test_activation(self, name, monkeypatch):
    monkeypatch.setitem(layers.ACTIVATIONS, "silu", layers.ACTIVATIONS["gelu"])
    assert min(errors(load(name), name)) > 10 * TOLERANCE

  @pytest.mark.parametrize("part", ["full_attention", "sliding_attention"])
  def test_each_base_of_gemma_3(self, part):
    parameters = rope("gemma3")["rope_parameters"]
    parameters = parameters | {part: {**parameters[part], "rope_theta": 50.0}}
    changed = load("gemma3", rope_parameters=parameters)
    assert min(errors(changed, "gemma3")) > 10 * TOLERANCE

  @pytest.mark.parametrize("name", ["gemma2", "gemma3", "gemma3-untied"])
  def test_embeddings_are_scaled(self, name, monkeypatch):
    monkeypatch.setattr(weights, "_times", lambda leaf: 1.0)
    assert min(errors(load(name), name)) > 10 * TOLERANCE

  @pytest.mark.parametrize("name", ["gemma2", "gemma3", "gemma3-untied"])
  def test_norms_are_stored_less_one(self, name, monkeypatch):
    monkeypatch.setattr(folder, "_is_norm", lambda name: False)
    assert min(errors(load(name), name)) > 10 * TOLERANCE

  @pytest.mark.parametrize("name", ["gemma2", "gemma3"])
  @pytest.mark.parametrize(
    "norm", ["post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]
  )
  def test_all_norms_of_gemma(self, name, norm):
    model = load(name)
    setattr(model.layers, norm, Nothing())
    assert min(errors(model, name)) > 10 * TOLERANCE

  @pytest.mark.parametrize("name", ["olmo2", "qwen3", "gemma3"])
  @pytest.mark.parametrize("norm", ["q_norm", "k_norm"])
  def test_norms_of_queries_and_keys(self, name, norm):
    model = load(name)
    setattr(model.layers.self_attn, norm, Nothing())
    assert min(errors(model, name)) > 10 * TOLERANCE

  def test_norms_of_all_heads_of_olmo(self, monkeypatch):
    """One norm over them is not one norm of each."""

    def each(self, x):
      scale_HxK = self.scale[...].reshape(-1, 8)
      y = layers._normalise(x.reshape(len(x), -1, 8), self.epsilon, False) * scale_HxK[None]
      return y.reshape(x.shape)

    model = load("olmo2")
    for norm in ("q_norm", "k_norm"):
      part = getattr(model.layers.self_attn, norm)
      part.__class__ = type("Each", (layers.RMSNorm,), {"__call__": each})
    assert min(errors(model, "olmo2")) > 10 * TOLERANCE

  @pytest.mark.parametrize("name", ["opt", "opt-350m"])
  def test_positions_of_opt_begin_at_the_third_row(self, name):
    assert min(errors(load(name), name, shift=-1)) > 10 * TOLERANCE

  def test_the_projections_of_opt(self):
    model = load("opt-350m")
    assert model.embedding_table().shape[1] == 20
    model.project_in.kernel[...] = 1.1 * model.project_in.kernel[...]
    assert min(errors(model, "opt-350m")) > 10 * TOLERANCE

  def test_halves_of_the_fused_matrices_of_phi3(self, monkeypatch):
    split = jnp.split

    def swapped(x, where, axis):
      return split(x, where, axis)[:: -1 if where == 2 else 1]

    monkeypatch.setattr(phi3.jnp, "split", swapped)
    assert min(errors(load("phi3"), "phi3")) > 10 * TOLERANCE

  @pytest.mark.parametrize("name", ["gpt2", "llama-grouped-tied", "gptj", "gemma3", "opt"])
  def test_attention_scale(self, name, monkeypatch):
    monkeypatch.setattr(
      decoder, "attention", lambda q, *rest, **how: attention.attention(1.1 * q, *rest, **how)
    )
    assert min(errors(load(name), name)) > 10 * TOLERANCE

  def test_the_fixed_base_of_gptj(self, monkeypatch):
    assert load("gptj", rope_theta=20_000.0) is not None
    other = rope_scaling.read_rotation
    monkeypatch.setattr(gptj, "read_rotation", lambda _, n: other({"rope_theta": 20_000.0}, n))
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
      decoder,
      "attention",
      lambda q, *rest, **how: attention.attention(q[:, mixed], *rest, **how)[:, mixed],
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
    ("mistral", "hidden_act", "gelu"),
    ("mistral", "sliding_window", 0),
    ("mistral", "attention_bias", True),
    ("olmo2", "hidden_act", "relu"),
    ("smollm3", "no_rope_layers", [1]),
    ("smollm3", "no_rope_layers", [1, 2]),
    ("smollm3", "no_rope_layers", "1010"),
    ("smollm3", "no_rope_layer_interval", 0),
    ("smollm3", "layer_types", ["full_attention"]),
    ("opt", "enable_bias", False),
    ("opt", "layer_norm_elementwise_affine", False),
    ("opt", "_remove_final_layer_norm", True),
    ("opt", "activation_function", "quick_gelu"),
    ("phi3", "hidden_act", "gelu"),
    ("phi3", "partial_rotary_factor", 0.2),
    ("gemma2", "hidden_activation", "gelu"),
    ("gemma2", "use_bidirectional_attention", True),
    ("gemma2", "query_pre_attn_scalar", -1),
    ("gemma2", "attn_logit_softcapping", "50"),
    ("gemma3_text", "attn_logit_softcapping", 50.0),
    ("gemma3_text", "layer_types", ["chunked_attention", "full_attention"]),
    ("gemma3_text", "sliding_window_pattern", 0),
    ("gemma3_text", "rope_local_base_freq", "low"),
    ("gemma3", "text_config", None),
    ("llama", "rope_parameters", {"full_attention": {"rope_theta": 1e6, "rope_type": "yarn"}}),
    ("llama", "rope_divisors", [1.0, 1.0]),
    ("gptj", "rotary_dim", None),
    ("gptj", "rotary_dim", 12),
  ],
)
def test_options_that_are_not_implemented_are_refused_by_name(model_type, option, value):
  names = {"head_dim": "head", "rotary_pct": "rotary"}
  names |= {"rotary_dim": "rotary", "rope_divisors": "divisors"}
  names |= {"rope_local_base_freq": "rope_theta"} if model_type == "gemma3_text" else {}
  names |= {"partial_rotary_factor": "rotates"} if model_type == "phi3" else {}
  with pytest.raises(WayjaxError, match=names.get(option, option)):
    tiny.build({**tiny.CONFIGS[model_type], option: value})


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gpt_neox", "gemma3_text"])
@pytest.mark.parametrize("key", ["rope_type", "type"])
@pytest.mark.parametrize("kind", ["mrope", "proportional", "su", 3])
def test_other_rope_types_are_refused(model_type, key, kind):
  config = {**tiny.CONFIGS[model_type], "rope_scaling": {key: kind, "factor": 2.0}}
  with pytest.raises(
    WayjaxError, match=f"rope_type to {kind!r}; wayjax implements 'default', 'lin"
  ):
    tiny.build(config)


ROPES = json.loads((GOLDENS / "rope.json").read_text())


@pytest.mark.parametrize("name", ROPES)
def test_every_scaling_is_that_of_pytorch(name):
  golden = ROPES[name]
  config = {"max_position_embeddings": 512, "rope_scaling": golden["options"]}
  rotation, positions = rope_scaling.read_rotation(config, 16)
  np.testing.assert_allclose(rotation.frequencies, golden["frequencies"], rtol=2e-6)
  assert rotation.scale == pytest.approx(golden["scale"], rel=1e-6)
  assert positions == (128 if name == "longrope" else None)  # the original context
  plain, _ = rope_scaling.read_rotation({"rope_theta": 5_000.0}, 16)
  assert (rotation == plain) == (name == "dynamic")


@pytest.mark.parametrize(
  ("kind", "options"),
  [
    ("linear", {"factor": 0}),
    ("dynamic", {"factor": "2"}),
    ("yarn", {"factor": 2.0, "beta_fast": -1}),
    ("yarn", {"factor": 2.0, "attention_factor": "big"}),
    ("yarn", {"factor": 2.0, "original_max_position_embeddings": 1}),
    ("yarn", {"factor": 2.0, "rope_theta": 1.0}),
    ("longrope", {"factor": 2.0}),
    ("longrope", {"factor": 2.0, "short_factor": [1.0]}),
    ("longrope", {"factor": 2.0, "short_factor": [1.0, 1.0, 1.0, -1.0]}),
  ],
)
def test_senseless_scaling_is_refused(kind, options):
  config = {**tiny.CONFIGS["llama"], "rope_scaling": {"rope_type": kind, **options}}
  option = "short_factor" if kind == "longrope" else list(options)[-1]
  with pytest.raises(WayjaxError, match=option):
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


def test_a_sliding_window_that_no_layer_uses_changes_nothing():
  read = FAMILIES["qwen2"].read_config
  config = {**tiny.CONFIGS["qwen2"], "sliding_window": 64}
  assert read(config).sliding_window is None
  assert read(config) == read({**config, "use_sliding_window": True, "max_window_layers": 2})
  slides = read({**config, "use_sliding_window": True, "max_window_layers": 1})
  assert slides == dataclasses.replace(read(config), sliding_window=64)
  for model_type in ("gemma2", "gemma3_text"):
    everywhere = {"sliding_window": 64, "layer_types": ["full_attention"] * 2}
    assert read_config(model_type, **everywhere).sliding_window is None


def read_config(model_type, **changes):
  return FAMILIES[model_type].read_config(tiny.CONFIGS[model_type] | changes)


@pytest.mark.parametrize(
  ("model_type", "option"),
  [
    ("mistral", {}),
    ("phi3", {}),
    ("gemma2", {}),
    ("gemma3_text", {}),
    ("qwen3", {"use_sliding_window": True, "max_window_layers": 0}),
    ("smollm3", {"use_sliding_window": True}),
  ],
)
def test_no_sequence_is_longer_than_a_window(model_type, option, tmp_path):
  """So no window ever cuts anything off, which is all of windows that is implemented."""
  config = tiny.CONFIGS[model_type] | {"sliding_window": 60} | option
  lm = load_lm(str(tiny.save_model(tmp_path, config)))
  assert lm.max_positions == 60
  with pytest.raises(WayjaxError, match=r"60 positions .of its sliding window"):
    generate(lm, [None], ["x" * 60], max_new_tokens=2)


def test_the_text_of_a_model_for_texts_and_images(tmp_path):
  text = load_lm(str(tiny.save_model(tmp_path / "a", tiny.CONFIGS["gemma3_text"])))
  for form in ("language_model.model.", "model.language_model."):
    folder = tiny.save_model(tmp_path / form, tiny.CONFIGS["gemma3"])
    named = tiny.stored_tensors(tiny.CONFIGS["gemma3_text"], prefix=form)
    others = ("vision_tower.a.weight", "multi_modal_projector.b", "model.vision_tower.c")
    named |= {name: np.ones(2, np.float32) for name in others}
    save_file(named, folder / "model.safetensors")
    both = load_lm(str(folder))
    for one, other in zip(jax.tree.leaves(text.params), jax.tree.leaves(both.params), strict=True):
      np.testing.assert_array_equal(one, other)
    save_file(named | {"audio_tower.d": np.ones(2, np.float32)}, folder / "model.safetensors")
    with pytest.raises(WayjaxError, match=r"not part of this model: audio_tower\.d"):
      load_lm(str(folder))


@pytest.mark.parametrize(
  "changes",
  [
    {"model_type": "gemma3n"},
    {"model_type": "gemma3n_text"},
    {"model_type": "gemma4", "text_config": {"hidden_size_per_layer_input": 256}},
    {"model_type": "gemma4_text", "hidden_size_per_layer_input": 256},
  ],
)
def test_models_that_read_token_ids_in_their_layers_are_refused(changes, tmp_path):
  folder = tiny.save_model(tmp_path, tiny.CONFIGS["llama"])
  (folder / "config.json").write_text(json.dumps(changes))
  with pytest.raises(WayjaxError, match=f"type '{changes['model_type']}', whose layers read emb"):
    load_lm(str(folder))


@pytest.mark.parametrize(
  ("model_type", "heads"), [("gpt2", "n_head"), ("llama", "num_attention_heads")]
)
def test_heads_must_divide_the_width(model_type, heads):
  with pytest.raises(WayjaxError, match=f"{heads} 5"):
    tiny.build({**tiny.CONFIGS[model_type], heads: 5})
