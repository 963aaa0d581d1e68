"""How probable texts are, by plain rows."""

import numpy as np
import pytest
import tiny

from wayjax.data.frame import NO_FRAME
from wayjax.errors import WayjaxError
from wayjax.generation.likelihood import log_likelihoods
from wayjax.generation.requests import Patch, Request
from wayjax.prompts import SoftPrompt
from wayjax.readers.reading import Context
from wayjax.readers.states import prompt_states


def request(prompt, ids=(), frame=NO_FRAME):
  return Request(0, 0, prompt, frame, np.array(ids, np.int32))


def test_texts_are_as_probable_as_in_plain_rows(lm, rng):
  frame = tiny.frame_of(2, 1)
  prompts = [SoftPrompt(rng.normal(0, 0.3, (size, lm.width)), lm.name) for size in (3, 6)]
  inputs = [[11, 12, 13], [14]]
  texts = [np.array(ids) for ids in ([5, 6, 7, 8], [9], [5, 60])]
  found = log_likelihoods(lm, [request(p, ids, frame) for p, ids in zip(prompts, inputs)], texts)
  expected = [
    [-tiny.unpacked_losses(p.vectors_PxD, ids, text, frame=frame).sum() for text in texts]
    for p, ids in zip(prompts, inputs)
  ]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_hidden_states_in_their_own_place_change_nothing(lm, rng):
  prompt = SoftPrompt(np.asarray(lm.table_VxD)[[21, 22, 23]], lm.name)
  texts = [np.array([5, 6]), np.array([7])]
  expected = log_likelihoods(lm, [request(prompt, [11, 12])], texts)
  (states_LxPxI,) = prompt_states(lm, [prompt], Context(frame=NO_FRAME), [0, 1, 2])
  for layer, states_PxI in enumerate(states_LxPxI):
    patch = Patch(np.array([21, 22, 23]), states_PxI, layer)
    found = log_likelihoods(lm, [request(patch, [11, 12])], texts)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_cannot_be_scored_is_named(lm):
  some = request(None, [5])
  assert log_likelihoods(lm, [], [np.array([5])]).shape == (0, 1)
  with pytest.raises(WayjaxError, match="nothing to go on from"):
    log_likelihoods(lm, [request(None)], [np.array([5])])
  with pytest.raises(WayjaxError, match="a text without tokens"):
    log_likelihoods(lm, [some], [np.array([], np.int32)])
  with pytest.raises(WayjaxError, match="a sequence of 1 and a text of 160 tokens exceed"):
    log_likelihoods(lm, [some], [np.zeros(160, np.int32)])
