"""What an audit measures, against the parts that it is made of."""

import dataclasses

import numpy as np
import pytest

from wayjax.audit.measure import AUTO, Trial, ask, audit
from wayjax.config import METRICS
from wayjax.data.encoding import encode
from wayjax.data.examples import Examples, load_data
from wayjax.data.frame import make_frame
from wayjax.data.targets import Target
from wayjax.data.tasks import get_task
from wayjax.errors import WayjaxError
from wayjax.evaluation import evaluate
from wayjax.metrics import prompt_f1
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import READERS, nearest
from wayjax.readers.reading import DEFAULT, Reading
from wayjax.readers.scores import agreement, class_rate, faithfulness, kl

TASK = get_task("sst2")


def prompt_of(lm, text="read me", seed=3, **fields) -> SoftPrompt:
  start = text_prompt(lm, text)
  noise = np.random.default_rng(seed).normal(0, 0.2, start.vectors_PxD.shape)
  return dataclasses.replace(start, vectors_PxD=start.vectors_PxD + noise, **fields)


@pytest.fixture
def trial(data_dir) -> Trial:
  return Trial(TASK, load_data(TASK, data_dir), rows=8)


@pytest.fixture
def only_nearest(monkeypatch):
  """Readers that tests replace or add to; others are tested by themselves."""
  for name in set(READERS) - {"nearest"}:
    monkeypatch.delitem(READERS, name)
  return monkeypatch


def reader(text):
  """A reader that says a text, or fails for a reason."""

  def read(lm, prompts, context=DEFAULT):
    if text is None:
      context.require("needy", "examples", "a task: give --dataset")
    f1 = {"prompt_f1": 0.5, "prompt_f1_lemma": None}
    return [Reading(text=text or "has rows", **f1) for _ in prompts]

  return read


def test_nearest_tokens_are_read_by_every_metric(lm, only_nearest):
  prompt = prompt_of(lm)
  (found,) = audit(lm, {"p": prompt}).prompts
  (reading,) = nearest.read(lm, [prompt])
  assert [(said.reader, said.metric) for said in found.said] == [("nearest", m) for m in METRICS]
  for said in found.said:
    assert said.text == reading.texts[said.metric]
    assert said.prompt_f1 == prompt_f1(said.text, "read me")
  assert found.one_a_reader() == [found.said[0]]
  assert (found.reads_as, found.vectors, found.scores) == ("read me", 7, None)


def test_auto_asks_all_but_slow_readers_and_notes_who_cannot_answer(lm, only_nearest):
  for name, text in (("says", "a text"), ("needy", None), ("hard", "slowly")):
    only_nearest.setitem(READERS, name, reader(text))
  said, not_asked = ask(lm, prompt_of(lm), DEFAULT, (AUTO,))
  assert [one.text for one in said if one.reader != "nearest"] == ["a text"]
  assert not_asked == {
    "hard": "it is slow",
    "needy": "the reader needy needs a task: give --dataset",
  }
  said, not_asked = ask(lm, prompt_of(lm), DEFAULT, (AUTO, "hard"))
  assert said[-1].reader == "hard"
  assert "hard" not in not_asked
  said, not_asked = ask(lm, prompt_of(lm), DEFAULT, ("says",))
  assert [one.reader for one in said] == ["says"]
  assert not_asked == {}


@pytest.mark.parametrize(
  ("readers", "message"),
  [
    (("needy",), "the reader needy needs a task: give --dataset"),
    ((AUTO, "needy"), "the reader needy needs a task"),
    (("nobody",), "there is no reader 'nobody': choose from auto, nearest"),
    ((), "no reader is named"),
  ],
)
def test_a_reader_that_is_named_has_to_answer(lm, only_nearest, readers, message):
  only_nearest.setitem(READERS, "needy", reader(None))
  with pytest.raises(WayjaxError, match=message):
    audit(lm, {"p": prompt_of(lm)}, readers=readers)


def test_texts_do_on_the_task_what_they_do_as_hard_prompts(lm, only_nearest, trial):
  only_nearest.setitem(READERS, "says", reader("is great"))
  only_nearest.setitem(READERS, "needy", reader(None))
  only_nearest.setitem(READERS, "empty", reader(""))
  prompt = prompt_of(lm)
  found = audit(lm, {"p": prompt}, trial=trial)
  (one,) = found.prompts
  assert one.not_asked == {}
  encoded = encode(lm.tokenizer, TASK, trial.drawn())
  soft, none, hard = evaluate(lm, encoded, [prompt, None, text_prompt(lm, "is great")])
  assert (one.scores.accuracy, one.scores.macro_f1) == (soft.accuracy, soft.macro_f1)
  assert (one.nothing.accuracy, one.nothing.macro_f1) == (none.accuracy, none.macro_f1)
  by_reader = {said.reader: said for said in one.said}
  says = by_reader["says"]
  assert (says.scores.accuracy, says.scores.macro_f1) == (hard.accuracy, hard.macro_f1)
  assert says.class_rate == class_rate("is great", TASK) == 0.5
  assert by_reader["needy"].text == "has rows"
  assert says.scores.faithfulness == faithfulness(hard.accuracy, soft.accuracy, none.accuracy)
  assert says.scores.kl == pytest.approx(kl(soft, hard), rel=1e-4)
  assert says.scores.agreement == agreement(soft, hard)
  assert (found.task.name, found.task.rows, found.task.of) == ("sst2", 8, 20)


def test_rows_are_drawn_from_all_and_in_their_order(data_dir):
  data = load_data(TASK, data_dir)
  by_class = Examples(tuple(map(str, range(20))), (0,) * 10 + (1,) * 10)
  drawn = Trial(TASK, dataclasses.replace(data, evaluation=by_class), rows=8).drawn()
  assert len(drawn) == 8
  assert set(drawn.labels) == {0, 1}
  assert list(map(int, drawn.texts)) == sorted(set(map(int, drawn.texts)))
  assert Trial(TASK, data, rows=100).drawn() == data.evaluation


def test_readers_never_see_the_rows_that_prompts_are_evaluated_on(lm, trial):
  context = trial.context(lm, prompt_of(lm), ("a", "b"))
  assert context.texts == trial.data.train.texts
  assert context.candidates == ("a", "b")
  assert len(context.examples) == len(trial.data.train) == 54
  train = {ids.tobytes() for ids in encode(lm.tokenizer, TASK, trial.data.train).prefixes}
  assert {ids.tobytes() for ids in context.examples.prefixes} <= train


def test_a_prompt_is_tried_in_the_text_that_it_was_tuned_in(lm, only_nearest, trial):
  prompt = prompt_of(lm, before="<", after=">")
  frame = make_frame(lm.tokenizer, "<", ">")
  assert trial.encode(lm, prompt, trial.drawn()).frame == frame
  assert trial.context(lm, prompt, ()).examples.frame == frame
  (found,) = audit(lm, {"p": prompt}).prompts
  assert (found.before, found.after) == ("<", ">")


def test_a_reading_that_does_not_fit_the_model_is_not_tried(lm, only_nearest, trial):
  only_nearest.setitem(READERS, "long", reader("x" * 150))
  (found,) = audit(lm, {"p": prompt_of(lm)}, trial=trial).prompts
  assert found.said[-1].scores is None
  assert all(said.scores for said in found.said[:-1])


def test_two_prompts_are_compared(lm, only_nearest, trial):
  one, other = prompt_of(lm, "read me"), prompt_of(lm, "read us", seed=4)
  found = audit(lm, {"a": one, "b": other}, trial=trial)
  away_PxD = one.vectors_PxD.astype(np.float64) - other.vectors_PxD
  assert found.comparison.c_dist == pytest.approx(np.sum(away_PxD**2) / 7)
  ids, others = (reading.ids_P for reading in nearest.read(lm, [one, other]))
  assert found.comparison.same_tokens == np.sum(ids == others)
  encoded = encode(lm.tokenizer, TASK, trial.drawn())
  assert found.comparison.agreement == agreement(*evaluate(lm, encoded, [one, other]))
  assert [prompt.name for prompt in found.prompts] == ["a", "b"]
  shorter = audit(lm, {"a": one, "b": prompt_of(lm, "r")}).comparison
  assert (shorter.c_dist, shorter.same_tokens, shorter.agreement) == (None, None, None)


def test_texts_are_what_each_prompt_could_read_as(lm, only_nearest):
  texts = [Target("text", "t", "read us"), Target("text", "u", "longer ones")]
  (found,) = audit(lm, {"p": prompt_of(lm)}, texts=texts).prompts
  assert [one.text for one in found.possible] == ["read us"]
  assert found.other_length == 1


def test_what_cannot_be_audited_is_a_sentence(lm):
  prompt = prompt_of(lm)
  broken_PxD = prompt.vectors_PxD.copy()
  broken_PxD[1, 2] = np.nan
  with pytest.raises(WayjaxError, match="the prompt in p has numbers that are not finite"):
    audit(lm, {"p": dataclasses.replace(prompt, vectors_PxD=broken_PxD)})
  with pytest.raises(WayjaxError, match="a prompt of width 3 does not fit"):
    audit(lm, {"p": SoftPrompt(np.ones((2, 3), np.float32), lm.name)})
  for count in (0, 3):
    with pytest.raises(WayjaxError, match=f"of two beside each other, not {count}"):
      audit(lm, dict.fromkeys(map(str, range(count)), prompt))
