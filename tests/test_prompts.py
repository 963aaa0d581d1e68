"""Soft prompts: what they are, and those of texts and run folders."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.projection import c_proj
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.results.folder import read_run
from wayjax.results.writer import RunWriter


@pytest.fixture
def vectors(rng) -> np.ndarray:
  """Numbers that every type of a file holds without rounding."""
  return rng.integers(-8, 8, (3, 4)).astype(np.float32) / 4


class TestSoftPrompt:
  def test_it_has_a_length_and_a_width(self, vectors):
    prompt = SoftPrompt(vectors, "gpt2")
    assert (len(prompt), prompt.width) == (3, 4)
    assert prompt.vectors_PxD.dtype == np.float32
    assert (prompt.model, prompt.reads_as, prompt.origin) == ("gpt2", None, {})

  def test_it_cannot_be_changed(self, vectors):
    prompt = SoftPrompt(vectors, "gpt2")
    with pytest.raises(dataclasses.FrozenInstanceError):
      prompt.model = "other"
    with pytest.raises(ValueError, match="read-only"):
      prompt.vectors_PxD[0, 0] = 7
    before = prompt.vectors_PxD.copy()
    vectors += 1  # nor by what it was made from
    np.testing.assert_array_equal(prompt.vectors_PxD, before)

  @pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, np.int32])
  def test_numbers_of_any_type_become_float32(self, vectors, dtype):
    whole = (vectors * 4).astype(dtype)
    np.testing.assert_array_equal(SoftPrompt(whole, "gpt2").vectors_PxD, vectors * 4)
    assert SoftPrompt([[1, 2], [3, 4]], "gpt2").vectors_PxD.dtype == np.float32

  def test_a_broken_prompt_can_be_held(self):
    assert np.isnan(SoftPrompt([[np.nan]], "gpt2").vectors_PxD).all()  # so that it can be measured

  @pytest.mark.parametrize("shape", [(), (4,), (0, 4), (4, 0), (2, 3, 4)])
  def test_other_shapes_are_refused(self, shape):
    with pytest.raises(WayjaxError) as error:
      SoftPrompt(np.zeros(shape), "gpt2")
    assert str(error.value) == f"a soft prompt has the shape (tokens, width), not {shape}"

  @pytest.mark.parametrize("value", [[[1.0], [2.0, 3.0]], "text", [["a"]], None, {}, [[10**400]]])
  def test_what_is_not_a_matrix_of_numbers_is_refused(self, value):
    with pytest.raises(WayjaxError, match=r"a soft prompt (is made of numbers|has the shape)"):
      SoftPrompt(value, "gpt2")

  def test_no_part_of_a_number_is_dropped(self):
    with pytest.raises(WayjaxError, match="made of numbers: these are complex"):
      SoftPrompt(np.zeros((2, 4), complex), "gpt2")

  def test_what_it_reads_as_is_a_target(self, vectors):
    with pytest.raises(WayjaxError, match="reads_as must be a Target, not a value of type str"):
      SoftPrompt(vectors, "gpt2", "a text")


class TestText:
  def test_a_text_is_the_embeddings_of_its_tokens(self, lm):
    prompt = text_prompt(lm, "read me")
    ids = lm.tokenizer("read me", add_special_tokens=False)["input_ids"]
    np.testing.assert_array_equal(prompt.vectors_PxD, c_proj(np.array(ids), lm.table_VxD))
    assert prompt.reads_as.text == "read me"
    assert prompt.model == lm.name
    assert prompt.origin == {"text": "read me"}

  def test_the_model_is_one_that_was_loaded(self):
    with pytest.raises(
      WayjaxError, match="lm must be what load_lm returns, not a value of type st"
    ):
      text_prompt("tiny", "read me")

  def test_a_target_stays_what_it_is(self, lm):
    target = Target("ni", "t1", "or me")
    prompt = text_prompt(lm, target)
    assert prompt.reads_as is target
    np.testing.assert_array_equal(prompt.vectors_PxD, text_prompt(lm, "or me").vectors_PxD)

  def test_a_text_without_tokens_is_refused(self, lm):
    with pytest.raises(WayjaxError, match="target 'none' has no tokens: give it some text"):
      text_prompt(lm, Target("ni", "none", ""))


def test_a_run_folder_gives_its_prompts_back(tmp_path, vectors):
  writer = RunWriter.begin(tmp_path / "run")
  writer.write_config(
    {
      "model": "gpt2",
      "resolved": {"targets": ["ni/a/gamma=1", "text/b"], "target_texts": ["read me", "or me"]},
    }
  )
  keys = ["ni/a/gamma=1/gamma=0.5/seed=1", "text/b/gamma=0/seed=1/constraint=ball", "else/c"]
  writer.append_rows([], {key: vectors + i for i, key in enumerate(keys)})
  run = read_run(tmp_path / "run")
  assert sorted(run.prompt_keys()) == sorted(keys)
  prompts = [run.prompt(key) for key in keys]
  for i, (key, prompt) in enumerate(zip(keys, prompts, strict=True)):
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors + i)
    assert prompt.model == "gpt2"
    assert prompt.origin == {"run": str(tmp_path / "run"), "key": key}
  assert [prompt.reads_as for prompt in prompts] == [
    Target("ni", "a/gamma=1", "read me"),
    Target("text", "b", "or me"),
    None,
  ]
  with pytest.raises(WayjaxError, match="has no prompt 'none'"):
    run.prompt("none")


@pytest.mark.parametrize(
  ("resolved", "around"),
  [
    ({"before": "<s>", "after": "Say:"}, ("<s>", "Say:")),
    ({"before": ""}, ("", "")),  # earlier versions put nothing around prompts
    ({}, ("", "")),
  ],
)
def test_the_text_around_a_runs_prompts_is_known(tmp_path, vectors, resolved, around):
  writer = RunWriter.begin(tmp_path / "run")
  writer.write_config({"model": "gpt2", "resolved": resolved})
  writer.append_rows([], {"a": vectors})
  prompt = read_run(tmp_path / "run").prompt("a")
  assert (prompt.before, prompt.after) == around


def test_what_cannot_be_written_is_refused_where_it_is_made():
  with pytest.raises(WayjaxError, match="the text after of a prompt is not valid Unicode"):
    SoftPrompt(np.ones((2, 3)), "m", after="\udcff")
  with pytest.raises(WayjaxError, match="model must be the name of a model, not a value of type N"):
    SoftPrompt(np.ones((2, 3)), None)
