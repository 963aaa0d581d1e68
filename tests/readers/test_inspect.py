"""InSPEcT against layers applied one by one in Python, and what it makes of what is generated."""

import copy
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from tokenizers.processors import TemplateProcessing

from wayjax.data.encoding import token_ids
from wayjax.data.frame import make_frame
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.metrics import prompt_f1
from wayjax.models import load_lm
from wayjax.models.decoder import Row
from wayjax.prompts import SoftPrompt
from wayjax.readers import inspect, states
from wayjax.readers.reading import Context

NEW, LONGEST, NOTHING_0xI = 6, 32, np.zeros((0, 32), np.float32)
# A token a character; of " x", which is two, the last is the placeholder.
DESCRIPTIONS, BEFORE = ("ab", "c d", "e"), "ab | c d | e |"
OPTIONS = {"descriptions": DESCRIPTIONS, "max_new_tokens": NEW}
# Tests share these shapes, and so the compiled programs.
SIZES, SOURCES, TARGETS = (3, 10), (0, 2), (0, 1, 2)
ALL_PAIRS = {**OPTIONS, "sources": SOURCES, "targets": TARGETS}
ONE_PAIR = {**OPTIONS, "sources": [2], "targets": [1]}
# As the 350M has it: layers of another width than the embeddings; and with a single layer.
OPT = {**tiny.CONFIGS["opt"], "word_embed_proj_dim": 16, "do_layer_norm_before": False}
CONFIGS = {name: tiny.CONFIGS[name] for name in ("gpt2", "llama", "gemma3_text")}
CONFIGS["opt"] = {**OPT, "num_hidden_layers": 1}


@pytest.fixture(scope="module")
def model_of(lm, tmp_path_factory):
  """A function of a family's name that returns its tiny model."""
  found = {"gpt2": lm}

  def model(name):
    if name not in found:
      folder = tiny.save_model(tmp_path_factory.mktemp(name), CONFIGS[name])
      found[name] = tiny.over(load_lm(str(folder), precision="float32"), 1)
    return found[name]

  return model


def prompts_of(lm, sizes=SIZES, **details):
  """Prompts of these lengths, each of them the same whatever the others."""
  rngs = [np.random.default_rng(size) for size in sizes]
  return [
    SoftPrompt(rng.normal(0, 0.3, (size, lm.width)), lm.name, **details)
    for rng, size in zip(rngs, sizes)
  ]


def pairs_of(readings):
  return [{(p["source"], p["target"]): p["text"] for p in reading.pairs} for reading in readings]


@functools.partial(jax.jit, static_argnums=0)
def layer_by_layer(graphdef, params, x_SxD, layer, put_SxI, is_put_S):
  """Hidden states after 0, 1, ... layers, some of them put there after one; and logits."""
  model = nnx.merge(graphdef, params)
  of_layer, weights = nnx.split(model.layers)
  h_SxI, turns = model.enter(x_SxD, jnp.arange(LONGEST))
  states = []
  for n in range(len(jax.tree.leaves(weights)[0]) + 1):
    if n:
      own = jax.tree.map(lambda w, n=n: w[n - 1], weights)
      h_SxI = nnx.merge(of_layer, own)(h_SxI, Row(tiny.causal(LONGEST), turns.of(n - 1)))
    h_SxI = jnp.where(is_put_S[:, None] & (n == layer), put_SxI, h_SxI)
    states.append(h_SxI)
  return states, model.lm_head(model.norm(h_SxI))


def by_hand(lm, x_SxD, layer=-1, start=0, put_PxI=NOTHING_0xI):
  x_SxD, put_SxI, is_put_S = (
    np.pad(part, [(first, LONGEST - first - len(part)), *[(0, 0)] * (part.ndim - 1)])
    for part, first in ((x_SxD, 0), (put_PxI, start), (np.ones(len(put_PxI), bool), start))
  )
  return layer_by_layer(lm.graphdef, lm.params, x_SxD, layer, put_SxI, is_put_S)


def source_by_hand(lm, prompt, before_ids, variant=inspect.EMBEDDINGS) -> list[np.ndarray]:
  """Hidden states of a prompt after 0, 1, ... layers."""
  table_VxD, start, end = np.asarray(lm.table_VxD), len(before_ids), len(before_ids) + len(prompt)
  before_BxD = table_VxD[list(before_ids)]
  if variant == inspect.EMBEDDINGS:
    states, _ = by_hand(lm, np.concatenate([before_BxD, prompt.vectors_PxD]))
  else:
    under_PxD = table_VxD[[placeholder(lm)] * len(prompt)]
    x_SxD = np.concatenate([before_BxD, under_PxD])
    states, _ = by_hand(lm, x_SxD, 1, start, prompt.vectors_PxD)
  return [np.asarray(h_SxI)[start:end] for h_SxI in states]


def placeholder(lm):
  return lm.tokenizer.convert_tokens_to_ids("x")


def target_by_hand(lm, states_PxI, layer, before_ids) -> str:
  """What is said; the whole text is read again for every token, patched every time."""
  table_VxD, found = np.asarray(lm.table_VxD), []
  while len(found) < NEW and lm.tokenizer.eos_token_id not in found:
    ids = [*before_ids, *[placeholder(lm)] * len(states_PxI), *found]
    _, logits_SxV = by_hand(lm, table_VxD[ids], layer, len(before_ids), states_PxI)
    logits_V = np.array(logits_SxV[len(ids) - 1])
    logits_V[list(lm.rows_of_no_token)] = -np.inf
    found.append(int(logits_V.argmax()))
  return inspect.cut(lm.tokenizer.decode(found, skip_special_tokens=True))


@pytest.mark.parametrize(
  ("name", "variant", "given", "sources", "targets"),
  [
    ("gpt2", "embeddings", None, SOURCES, TARGETS),
    ("gpt2", "layer0", "(", (1, 2), TARGETS),
    ("llama", "embeddings", None, (1, 2), TARGETS),
    ("gemma3_text", "embeddings", None, (1, 2), TARGETS),
    ("opt", "embeddings", None, (0, 1), (0, 1)),
  ],
)
def test_it_is_layers_applied_one_by_one(model_of, name, variant, given, sources, targets):
  lm = model_of(name)
  prompts = prompts_of(lm, before="<")
  context = Context(frame=make_frame(lm.tokenizer, given) if given else None)
  layers = {"sources": sources, "targets": targets}
  readings = inspect.read(lm, prompts, context, variant=variant, **layers, **OPTIONS)
  before_ids, source_ids = token_ids(lm.tokenizer, [BEFORE, given or "<"])
  for prompt, found in zip(prompts, pairs_of(readings), strict=True):
    states = source_by_hand(lm, prompt, source_ids, variant)
    assert list(found) == [(s, t) for s in sources for t in targets]
    for (s, t), text in found.items():
      assert text == target_by_hand(lm, states[s], t, before_ids)
  assert len({text for found in pairs_of(readings) for text in found.values()}) > 4


def test_both_runs_begin_as_the_tokenizer_begins_a_text(lm):
  tokenizer = copy.deepcopy(lm.tokenizer)
  tokenizer.bos_token, bos = "!", tokenizer.convert_tokens_to_ids("!")
  tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
    single="! $A", special_tokens=[("!", bos)]
  )
  begun = dataclasses.replace(lm, tokenizer=tokenizer)
  (prompt,) = prompts_of(lm, (3,))
  before_ids = token_ids(lm.tokenizer, [BEFORE])[0]
  for one, beginning in ((lm, []), (begun, [bos])):
    (reading,) = inspect.read(one, [prompt], **ONE_PAIR)
    states_PxI = source_by_hand(one, prompt, beginning)[2]
    assert reading.text == target_by_hand(one, states_PxI, 1, [*beginning, *before_ids])


@pytest.mark.parametrize("sources", [SOURCES, (1, 2)])
def test_a_text_patched_into_itself_is_the_plain_text(model_of, sources):
  lm = model_of("gemma3_text")
  context = Context(frame=make_frame(lm.tokenizer, BEFORE, "", ""))
  ids = [placeholder(lm)] * max(SIZES)
  prompts = [SoftPrompt(np.asarray(lm.table_VxD)[ids[:size]], lm.name) for size in SIZES]
  readings = inspect.read(lm, prompts, context, sources=sources, targets=TARGETS, **OPTIONS)
  for prompt, found in zip(prompts, pairs_of(readings), strict=True):
    plain = target_by_hand(lm, prompt.vectors_PxD, -1, context.frame.before_ids)
    assert {found[layer, layer] for layer in sources} == {plain}
    assert {found[s, t] for s, t in found if s != t} - {plain}


def test_more_pairs_of_layers_are_no_more_programs(lm, monkeypatch):
  compiled, compile_once = [], jax.stages.Lowered.compile
  monkeypatch.setattr(
    jax.stages.Lowered, "compile", lambda *a, **b: compiled.append(a) or compile_once(*a, **b)
  )
  for sizes, options in (((3,), ONE_PAIR), (SIZES, ALL_PAIRS)):
    compiled.clear()
    inspect.read(lm, prompts_of(lm, sizes), **options)
    assert len(compiled) == 2  # the source run and the target run


def test_together_prompts_read_as_alone(lm):
  together = inspect.read(lm, prompts_of(lm), **ALL_PAIRS)
  (alone,) = inspect.read(lm, prompts_of(lm, (3,)), **ONE_PAIR)
  (pair,) = alone.pairs
  assert pair in together[0].pairs
  assert pair not in together[1].pairs


def test_its_text_is_that_of_the_middle_pair_and_scored(lm):
  prompts = prompts_of(lm, reads_as=Target("text", "t", "a b"))
  readings = inspect.read(lm, prompts, sources=(2, 0, 2), targets=(1, 0, 2), **OPTIONS)
  for reading, found in zip(readings, pairs_of(readings), strict=True):
    assert list(found) == [(s, t) for s in SOURCES for t in TARGETS]
    assert reading.text == found[0, 1]
    assert list(found.values()).count(reading.text) == 1
    assert reading.prompt_f1 == prompt_f1(reading.text, "a b")
    stored = json.loads(json.dumps(reading.to_json()))
    assert stored["pairs"] == reading.pairs
    assert (stored["text"], stored["variant"]) == (reading.text, "embeddings")
  assert inspect.read(lm, [], **OPTIONS) == []


def test_its_sequences_are_those_that_its_text_is_of(lm):
  prompts, layers = prompts_of(lm), {"sources": SOURCES, "targets": TARGETS}
  requests = inspect.sequences(lm, prompts, **layers, descriptions=DESCRIPTIONS)
  readings = inspect.read(lm, prompts, **ALL_PAIRS)
  before_ids = tuple(token_ids(lm.tokenizer, [BEFORE])[0])
  for request, reading in zip(requests, readings, strict=True):
    assert (request.frame.before_ids, request.prompt.layer) == (before_ids, 1)
    said = target_by_hand(lm, request.prompt.states_PxI, request.prompt.layer, before_ids)
    assert said == reading.text
  assert inspect.sequences(lm, [], **layers) == []


@pytest.mark.parametrize(
  ("layers", "spread"),
  [(2, [1]), (3, [1, 2]), (7, [1, 2, 3, 4, 5, 6]), (12, [1, 3, 5, 7, 9, 11])],
)
def test_layers_are_spread_evenly_over_all_but_the_ends(lm, monkeypatch, layers, spread):
  for module in (inspect, states):
    monkeypatch.setattr(module, "layer_count", lambda lm: layers)
  assert inspect._layers(lm, "sources", None) == spread


def test_generation_ends_at_the_end_text_and_special_tokens_are_left_out(lm, monkeypatch):
  prompts = prompts_of(lm, (3,))
  monkeypatch.setattr(inspect, "cut", lambda text: text)
  (whole,) = inspect.read(lm, prompts, **ONE_PAIR)
  end = next(character for character in whole.text[:-1] if character.isascii())
  monkeypatch.setattr(inspect, "_END", end)
  (ended,) = inspect.read(lm, prompts, **ONE_PAIR)
  assert ended.text == whole.text[: whole.text.index(end) + 1] != whole.text
  special = dataclasses.replace(lm, tokenizer=copy.deepcopy(lm.tokenizer))
  special.tokenizer.add_special_tokens({"additional_special_tokens": [end]})
  (without,) = inspect.read(special, prompts, **ONE_PAIR)
  assert without.text == ended.text[:-1]


@pytest.mark.parametrize(
  ("text", "left"),
  [
    (" name the mood of a film", "name the mood of a film"),
    (" name the mood | name", "name the mood"),
    (" name the mood\nname | $", "name the mood"),
    (" name the mood$", "name the mood"),
    (" name the mood. Or not.", "name the mood"),
    (" | name the mood of it | b", "name the mood of it"),  # an end within the first fifth
    ("\n\n name the mood of a film. b", "name the mood of a film"),
    ("ab.cd.ef.gh", "cd"),  # 2 < 11 / 5 <= 5
    ("ab.efghij.", "ab"),  # 2 >= 10 / 5
    (". name it", ". name it"),  # without an end nothing is cut
    ("$", "$"),
    ("", ""),
  ],
)
def test_a_description_ends_at_the_first_end_after_a_fifth(text, left):
  assert inspect.cut(text) == left


def test_the_default_descriptions_have_no_end_within_them():
  assert len(inspect.DEFAULT_DESCRIPTIONS) == 3
  for text in inspect.DEFAULT_DESCRIPTIONS:
    assert inspect.cut(f"{text} | {text}") == text == text.strip()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"variant": "layer1"}, "variant must be one of embeddings, layer0, not 'layer1'"),
    ({"sources": []}, "sources is empty: name a layer from 0 to 2"),
    ({"targets": [3]}, "targets must be whole numbers from 0 to 2, .* not 3"),
    ({"sources": [-1]}, "sources must be whole numbers from 0 to 2, .* not -1"),
    ({"sources": [1.0]}, "sources must be whole numbers .* not 1.0"),
    ({"targets": [True]}, "targets must be whole numbers .* not True"),
    ({"targets": 1}, "targets must be a list of whole numbers, not a value of type int"),
    ({"sources": [0], "variant": "layer0"}, "sources must be whole numbers from 1 to 2, .* not 0"),
    ({"descriptions": ()}, "descriptions is empty: give a few"),
    ({"descriptions": ("ab", " ")}, "one of descriptions is empty"),
    ({"descriptions": "ab"}, "descriptions must be a list of texts, not a value of type str"),
    ({"descriptions": ("ab", 1)}, "each of descriptions must be a text"),
    ({"descriptions": ("x" * 150,)}, r"152 around them and 60 new tokens exceed .* 160 positions"),
    ({"lm": "gpt2"}, "lm must be what load_lm returns"),
    ({"prompts": [SoftPrompt(np.ones((2, 4)), "x")]}, "width 4 does not fit"),
  ],
)
def test_what_is_wrong_is_named(lm, options, message):
  arguments = {"lm": lm, "prompts": prompts_of(lm), "descriptions": DESCRIPTIONS, **options}
  with pytest.raises(WayjaxError, match=message):
    inspect.read(**arguments)


def test_vectors_of_another_width_than_the_layers_are_put_nowhere_between_them(model_of):
  lm = model_of("opt")
  with pytest.raises(
    WayjaxError, match=r"are 32 wide and its embeddings 16, .* variant embeddings"
  ):
    inspect.read(lm, prompts_of(lm), sources=[1], targets=[1], variant="layer0")


def test_a_model_of_one_layer_needs_layers_by_name(model_of):
  lm = model_of("opt")
  with pytest.raises(WayjaxError, match="which has 1: name sources, from 0 to 1"):
    inspect.read(lm, prompts_of(lm))


def test_a_tokenizer_that_leaves_nothing_of_a_placeholder_is_refused(lm, monkeypatch):
  monkeypatch.setattr(inspect, "_PLACEHOLDER", "")
  with pytest.raises(WayjaxError, match="leaves nothing of '', which stands where"):
    inspect.read(lm, prompts_of(lm), descriptions=DESCRIPTIONS)
