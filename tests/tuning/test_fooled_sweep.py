"""Prompts that are tuned to fool a reader, too: batched equals looped."""

import functools

import numpy as np
import pytest
from tuning.sweeps import SHORT, TOKEN, alone, members_of, train

from wayjax.config import FOOLED
from wayjax.data.frame import NO_FRAME
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.readers import inspect
from wayjax.readers.fooling import make_fooling
from wayjax.tuning.members import make_members

TARGETS = [Target("text", "t7", SHORT), Target("text", "t1", TOKEN)]


@pytest.fixture(autouse=True)
def few_descriptions(monkeypatch):
  """The usual ones take more positions than the tiny model has, a token a character."""
  short = functools.partial(inspect.target_frame, descriptions=("ab", "c d", "e"))
  monkeypatch.setattr(inspect, "target_frame", short)


@pytest.mark.parametrize("reader", FOOLED)
def test_a_fooled_sweep_equals_a_loop_over_its_members(reader, lm):
  fooling = make_fooling(lm, reader, 0.5, NO_FRAME, TARGETS)
  members = members_of(lm, (SHORT, TOKEN), gammas=(0.3,), fooling=fooling)
  free = members_of(lm, (SHORT,), gammas=(0.3,), seeds=(1,))
  tuned = train(lm, members)
  assert train(lm, free)[free[0].key].reader_nll_T is None
  for member in members:
    by_loop, found = alone(member), tuned[member.key]
    prompt_PxD = by_loop.prompts_TxPxD[-1]
    np.testing.assert_allclose(found.prompt.vectors_PxD, prompt_PxD, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.cross_entropy_T, by_loop.cross_entropy_T, rtol=1e-3)
    np.testing.assert_allclose(found.reader_nll_T, by_loop.losses_T.reader_nll, rtol=1e-3)
  # Without the reader it would be another prompt.
  other_PxD = alone(free[0]).prompts_TxPxD[-1]
  assert np.abs(tuned[free[0].key].prompt.vectors_PxD - other_PxD).max() > 0.01


def test_prompts_of_another_length_than_their_target_fool_nobody(lm):
  fooling = make_fooling(lm, "logit_lens", 1.0, NO_FRAME, TARGETS[:1])
  with pytest.raises(WayjaxError, match="--prompt-tokens 3 does not go with --fool"):
    make_members(lm, TARGETS[:1], (0.0,), (1,), init="random", prompt_tokens=3, fooling=fooling)


def test_equal_attacks_share_a_program(lm):
  one, same, other = (
    make_fooling(lm, "inspect", weight, NO_FRAME, TARGETS) for weight in (1.0, 1.0, 2.0)
  )
  assert hash(one) == hash(same)
  assert one == same
  assert one != other
