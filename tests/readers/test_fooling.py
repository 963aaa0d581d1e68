"""The attack on readers: its loss is that of what the reader itself reads, in its own sequences."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from tiny import EOS

from wayjax.config import FOOLED
from wayjax.data.encoding import token_ids
from wayjax.data.frame import Frame, make_frame
from wayjax.data.packing import left_mask, pad_left
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.generation.requests import Patch, Request
from wayjax.models import load_lm
from wayjax.prompts import SoftPrompt
from wayjax.readers import fooling, inspect, logit_lens, verbalise
from wayjax.readers.reading import Context
from wayjax.readers.states import layer_count, over_states, prompt_states, requests_of

TARGET = Target("text", "text-1", "read me")
PADDED = 8  # of a prompt as long as the target, 7 tokens
BEFORE = Frame(before="ab", before_ids=(97, 98))


@pytest.fixture(scope="module", params=["gpt2", "gemma3_text"])
def model(request, lm, tmp_path_factory):
  if request.param == "gpt2":
    return lm
  folder = tiny.save_model(tmp_path_factory.mktemp(request.param), tiny.CONFIGS[request.param])
  return tiny.over(load_lm(str(folder), precision="float32"), 1)


@pytest.fixture(autouse=True)
def few_descriptions(monkeypatch):
  """The usual ones take more positions than the tiny models have, a token a character."""
  short = functools.partial(inspect.target_frame, descriptions=("ab", "c d", "e"))
  monkeypatch.setattr(inspect, "target_frame", short)


def prompt_of(lm, size=7, seed=0):
  return SoftPrompt(np.random.default_rng(seed).normal(0, 0.3, (size, lm.width)), lm.name)


@functools.partial(jax.jit, static_argnums=(0, 1))
def loss_and_gradient(fooled, graphdef, params, prompt_PxD, mask_P, said_S, step):
  model = nnx.merge(graphdef, params)
  return jax.value_and_grad(lambda x_PxD: fooled(model, x_PxD, mask_P, said_S, step))(prompt_PxD)


def loss_of(lm, fooled, prompt, step=0, padded=PADDED):
  """The loss and its gradient, of a prompt that is padded to so many positions."""
  said_S = fooled.padded(fooled.encode(lm, TARGET), padded)
  vectors_PxD = pad_left(np.float32(prompt.vectors_PxD), padded)
  mask_P = left_mask(len(prompt), padded)
  loss, gradient_PxD = loss_and_gradient(
    fooled, lm.graphdef, lm.params, vectors_PxD, mask_P, said_S, jnp.int32(step)
  )
  return float(loss), np.array(gradient_PxD)


@dataclasses.dataclass(frozen=True)
class Losses:
  """For `over_states`: log-losses of the last tokens of a sequence, by the last layer's states."""

  def __call__(self, model, states_1xLxI, sequence, labels_L):
    logits_LxV = model.lm_head(model.norm(states_1xLxI[0]))
    return -jnp.take_along_axis(jax.nn.log_softmax(logits_LxV), labels_L[:, None], 1)[:, 0]


def continued(lm, prompt, frame, ids) -> float:
  """The mean log-loss of tokens after a sequence of the readers' own kind."""
  frame = dataclasses.replace(frame, reply_ids=(*frame.reply_ids, *ids))
  request = Request(0, 0, prompt, frame, np.zeros(0, np.int32))
  whole = len(request) + -len(request) % 8
  labels_L = np.zeros(whole, np.int32)
  labels_L[-len(ids) - 1 : -1] = ids
  (losses_L,) = over_states(lm, [request], [layer_count(lm)], Losses(), labels_L)
  return float(np.mean(losses_L[-len(ids) - 1 : -1]))


def test_verbalise_is_fooled_in_its_own_question(model):
  prompt = prompt_of(model)
  frame = verbalise.asked(model, verbalise.own_frame(model))
  fooled = fooling.make_fooling(model, "verbalise", 1.0, BEFORE, [TARGET])
  (ids,) = token_ids(model.tokenizer, [" read me"])
  expected = continued(model, prompt, frame, [*ids, model.tokenizer.eos_token_id])
  assert loss_of(model, fooled, prompt)[0] == pytest.approx(expected, rel=1e-5)


def test_verbalise_is_fooled_in_the_frame_of_a_chat(lm):
  frame = Frame("ab", "c", "\nso:\n", (97, 98), (99,), (10, 115, 111, 58, 10))
  fooled = fooling.make_fooling(lm, "verbalise", 1.0, frame, [TARGET])
  (ids,) = token_ids(lm.tokenizer, ["read me"])  # on a line of its own
  asked = verbalise.asked(lm, frame)
  expected = continued(lm, prompt_of(lm), asked, [*ids, lm.tokenizer.eos_token_id])
  assert loss_of(lm, fooled, prompt_of(lm))[0] == pytest.approx(expected, rel=1e-5)


def test_inspect_is_fooled_at_its_own_states(model):
  prompt = prompt_of(model)
  fooled = fooling.make_fooling(model, "inspect", 1.0, BEFORE, [TARGET])
  pairs = ((0, 2), (1, 1))
  fooled = dataclasses.replace(fooled, pairs=pairs)
  (ids,) = token_ids(model.tokenizer, [" read me |"])
  frame = inspect.target_frame(model)
  under = np.full(len(prompt), inspect.placeholder(model), np.int32)
  expected = []
  for source, target in pairs:
    (states_1xPxI,) = prompt_states(model, [prompt], Context(frame=BEFORE), [source])
    expected.append(continued(model, Patch(under, states_1xPxI[0], target), frame, ids))
  assert loss_of(model, fooled, prompt)[0] == pytest.approx(np.mean(expected), rel=1e-5)


def test_inspect_draws_different_pairs_by_the_step_alone(lm):
  pairs = tuple((source, target) for source in (0, 1, 2) for target in (0, 1, 2))
  fooled = dataclasses.replace(
    fooling.make_fooling(lm, "inspect", 1.0, BEFORE, [TARGET]), pairs=pairs
  )
  losses = [loss_of(lm, fooled, prompt_of(lm), step)[0] for step in (0, 1, 2, 3, 0, 1, 2, 3)]
  assert losses[:4] == losses[4:]
  assert len(set(losses)) == 4
  each = [
    loss_of(lm, dataclasses.replace(fooled, pairs=(pair,)), prompt_of(lm))[0] for pair in pairs[:2]
  ]
  both = loss_of(lm, dataclasses.replace(fooled, pairs=pairs[:2]), prompt_of(lm))[0]
  assert both == pytest.approx(np.mean(each), rel=1e-6)


def test_logit_lens_is_fooled_at_the_positions_of_the_prompt(model):
  prompt = prompt_of(model)
  fooled = fooling.make_fooling(model, "logit_lens", 1.0, BEFORE, [TARGET])
  (ids,) = token_ids(model.tokenizer, [TARGET.text])
  each = [
    over_states(model, [request], [layer], Losses(), pad_left(np.int32(ids), 16))
    for request in requests_of(model, [prompt], Context(frame=BEFORE))
    for layer in logit_lens.quarters(layer_count(model))
  ]
  expected = np.mean([losses_L[-7:] for (losses_L,) in each])
  assert loss_of(model, fooled, prompt)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reader", FOOLED)
def test_the_gradient_is_the_loss_s_slope_whatever_the_padding(reader, lm):
  fooled = fooling.make_fooling(lm, reader, 1.0, BEFORE, [TARGET])
  prompt = prompt_of(lm)
  loss, gradient_PxD = loss_of(lm, fooled, prompt)
  further, padded_PxD = loss_of(lm, fooled, prompt, padded=16)
  assert further == pytest.approx(loss, rel=1e-5)
  np.testing.assert_allclose(padded_PxD[-7:], gradient_PxD[-7:], atol=1e-6, rtol=1e-3)
  size = np.linalg.norm(gradient_PxD)
  moved = SoftPrompt(prompt.vectors_PxD + 0.01 * gradient_PxD[-7:] / size, lm.name)
  assert size > 1e-3
  assert loss_of(lm, fooled, moved)[0] - loss == pytest.approx(0.01 * size, rel=0.1)


def test_wrong_readers_models_and_texts_are_refused(lm, tmp_path):
  def make(model=lm, reader="verbalise", text="read me"):
    return fooling.make_fooling(model, reader, 1.0, BEFORE, [Target("text", "t", text)])

  with pytest.raises(WayjaxError, match="--fool must be one of inspect, logit_lens, verbalise"):
    make(reader="nearest")
  with pytest.raises(WayjaxError, match=r"target 't' takes .* more than the model's"):
    make(text="x" * 60)
  folder = tiny.save_model(tmp_path, {**tiny.CONFIGS["gpt2"], "n_layer": 1})
  single = tiny.over(load_lm(str(folder), precision="float32"), 1)
  with pytest.raises(WayjaxError, match=r"nothing between the layers of .* take another reader"):
    make(single, "inspect")


@pytest.mark.parametrize(
  ("reader", "said"),
  [
    ("verbalise", [" one line.", EOS]),
    ("inspect", [" one line |"]),  # its cut ends at the point, after a fifth of the text
    ("logit_lens", ["one line.\nand another"]),
  ],
)
def test_what_is_to_be_said_is_what_the_reader_gives_back(lm, reader, said):
  target = Target("text", "t", "one line.\nand another")
  fooled = fooling.make_fooling(lm, reader, 1.0, BEFORE, [target])
  assert lm.tokenizer.decode(fooled.encode(lm, target).tolist()) == "".join(said)
  assert (
    fooling.sayable(reader, target.text)
    == {
      "verbalise": "one line.",
      "inspect": "one line",
      "logit_lens": "one line.\nand another",
    }[reader]
  )


def test_every_reader_that_can_be_fooled_has_its_own_way():
  assert tuple(fooling.MAKE) == FOOLED


@pytest.mark.parametrize("weight", ["2", float("nan"), -1.0])
def test_a_wrong_weight_is_named(lm, weight):
  with pytest.raises(WayjaxError, match="--fool-weight must be"):
    fooling.make_fooling(lm, "inspect", weight, BEFORE, [TARGET])


def test_layers_may_be_computed_again_in_the_backward_pass(lm):
  model = nnx.merge(lm.graphdef, lm.params)
  model.remat = True
  again = dataclasses.replace(lm, graphdef=nnx.split(model)[0])
  fooled = fooling.make_fooling(lm, "inspect", 1.0, BEFORE, [TARGET])
  loss, gradient_PxD = loss_of(lm, fooled, prompt_of(lm))
  found, other_PxD = loss_of(again, fooled, prompt_of(lm))
  assert found == pytest.approx(loss, rel=1e-5)
  np.testing.assert_allclose(other_PxD, gradient_PxD, atol=1e-6, rtol=1e-3)


def test_texts_of_a_sweep_are_padded_to_one_size(lm):
  targets = [TARGET, Target("text", "text-2", "a longer target text")]
  fooled = fooling.make_fooling(lm, "inspect", 1.0, make_frame(lm.tokenizer), targets)
  assert {len(fooled.padded(fooled.encode(lm, target), 8)) for target in targets} == {24}
