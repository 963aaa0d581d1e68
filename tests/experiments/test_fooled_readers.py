"""The table of readers that are fooled, from made-up runs of a tiny model."""

import dataclasses

import numpy as np
import pytest
from read_runs import TEXTS, TOLD, configs_of, write_run

from experiments import fooled_readers
from experiments.readings.cases import Case
from experiments.readings.fooled import NOBODY, READ_BY, Line, Tuned, lines_of, verdicts
from wayjax.config import FOOLED
from wayjax.errors import WayjaxError
from wayjax.metrics import delta
from wayjax.readers import READERS, Reading
from wayjax.readers.reading import DEFAULT
from wayjax.report.statistics import Estimate


@pytest.fixture(autouse=True)
def readers(monkeypatch):
  """Readers that say what prompts are held to where these were tuned to fool them."""

  def says(name):
    def read(lm, prompts, context=DEFAULT):
      read.prompts += len(prompts)
      return [
        Reading(
          text=TOLD["subj"] if f"fool-{name}" in prompt.origin["run"] else "the film mood",
          prompt_f1=None,
          prompt_f1_lemma=None,
        )
        for prompt in prompts
      ]

    read.prompts = 0
    return read

  made = {name: says(name) for name in FOOLED}
  for name, read in made.items():
    monkeypatch.setitem(READERS, name, read)
  return made


@pytest.fixture
def out(tmp_path, lm, given):
  """A folder with runs of two tasks that fool nobody, and of one that fool a reader."""
  for config in configs_of(given):
    write_run(tmp_path / f"000-{config.dataset}", lm, config, TEXTS[config.dataset])
  (config,) = configs_of(given, "--fool", "inspect", tasks=("sst2",))
  folder = tmp_path / "fool-inspect" / "000-sst2"
  write_run(folder, lm, config, TEXTS["sst2"][:1], accuracy=0.4)
  return tmp_path


def test_each_reader_reads_the_prompts_that_fool_one_and_those_that_fool_nobody(
  out, given, readers
):
  found = fooled_readers.measure(configs_of(given), out)
  lines = {(line["fooled"], line["arm"]): line for line in found["numbers"]}
  arms = ("unconstrained", "γ = 0.01", "cell")
  assert list(lines) == [(fooled, arm) for fooled in (NOBODY, "inspect") for arm in arms]
  for arm in arms:
    attacked, free = lines["inspect", arm], lines[NOBODY, arm]
    assert (attacked["texts"], free["texts"]) == (1, 2)  # those of no task are left out
    assert attacked["delta"]["mean"] == pytest.approx(delta(0.5, 0.4))
    assert free["delta"] is None
    assert attacked["names_b"]["inspect"]["mean"] == 1.0
    assert attacked["names_b"]["verbalise"]["mean"] == 0.0
    assert attacked["names_b"]["nearest"]["mean"] == 1.0
    # "the film mood" is A of sst2's prompts, and B of subj's.
    assert (free["names_a"]["inspect"]["mean"], free["names_b"]["inspect"]["mean"]) == (0.5, 0.5)
    assert attacked["f1"]["inspect"]["mean"] == 1.0
    assert attacked["before"]["mean"] == 0.0
  # Two tasks and the attack, three arms, two seeds; nobody reads them again.
  assert {name: read.prompts for name, read in readers.items()} == dict.fromkeys(FOOLED, 18)
  assert fooled_readers.measure(configs_of(given), out) == found
  assert readers["inspect"].prompts == 18
  attacked, free, accuracy = (
    {(dot["row"], dot["label"]): dot["mean"] for dot in panel["dots"]} for panel in found["panels"]
  )
  assert attacked == {("inspect", arm): 1.0 for arm in arms}
  assert free == {("inspect", arm): 0.0 for arm in arms}
  assert accuracy == {("inspect", arm): pytest.approx(0.4) for arm in arms}
  table = found["table"]
  assert all(len(line) == len(table["columns"]) for line in table["lines"])
  assert dict(zip(table["columns"], table["lines"][-1], strict=True)) == {
    "fooled": "inspect",
    "prompt": "cell",
    "texts": "1",
    "accuracy": "40.0",
    "Δ̂": "20.0",
    "nearest: F1 / B A": "100.0 / 100.0 0.0",
    "inspect: F1 / B A": "100.0 / 100.0 0.0",
    "logit_lens: F1 / B A": "0.0 / 0.0 100.0",
    "verbalise: F1 / B A": "0.0 / 0.0 100.0",
  }


def test_nothing_is_drawn_where_nobody_was_attacked(tmp_path, lm, given):
  (config,) = configs_of(given, tasks=("sst2",))
  write_run(tmp_path / "000-sst2", lm, config, TEXTS["sst2"][:1], seeds=(1,))
  found = fooled_readers.measure([config], tmp_path)
  assert "figure" not in found
  assert {line[0] for line in found["table"]["lines"]} == {NOBODY}


def test_a_folder_without_prompts_of_the_setting_is_a_sentence(out, given):
  with pytest.raises(WayjaxError, match=r"holds no prompts of .* to read: run the experiment"):
    fooled_readers.measure(configs_of(given, "--lr", "0.5"), out)


def scores_of(f1: float) -> dict:
  return {name: {"f1": f1, "names_a": 0.0, "names_b": 1.0} for name in READ_BY}


def test_means_are_over_texts_of_tasks_of_seeds():
  case = Case("sst2", "one", "subj", "cell", None)
  others = case._replace(text="two"), case._replace(task="trec")
  scored = [
    (Tuned(NOBODY, case, 1, 0.8), scores_of(0.0)),
    (Tuned(NOBODY, case, 2, 0.6), scores_of(0.0)),
    (Tuned(NOBODY, others[0], 1, 0.5), scores_of(0.0)),
    (Tuned("inspect", case, 1, 0.4), scores_of(1.0)),
    (Tuned("inspect", case, 2, 0.6), scores_of(0.5)),
    (Tuned("inspect", others[1], 1, 0.9), scores_of(0.25)),  # nothing to compare it with
    (Tuned("inspect", others[0], 1, 0.2), scores_of(0.0)),
  ]
  free, attacked = lines_of(scored)
  assert (free.fooled, free.accuracy.mean, free.texts) == (NOBODY, pytest.approx(0.6), 2)
  assert attacked.texts == 2
  assert attacked.accuracy.mean == pytest.approx(np.mean([0.5, 0.2]))
  drops = np.mean([delta(0.8, 0.4), delta(0.6, 0.6)]), delta(0.5, 0.2)
  assert attacked.delta.mean == pytest.approx(np.mean(drops))
  assert attacked.f1["inspect"].mean == pytest.approx(np.mean([0.75, 0.0]))
  assert (free.before, attacked.before.mean, attacked.before.targets) == (None, 1.0, 2)


def line_of(names_b: float, before: float, texts: int = 12, texts_before: int = 12) -> Line:
  found = Estimate(names_b, names_b - 0.1, names_b + 0.1, texts)
  free = Estimate(before, before - 0.1, before + 0.1, texts_before)
  each, drop = dict.fromkeys(READ_BY, found), Estimate(0.02, 0.0, 0.04, texts)
  return Line("inspect", "cell", texts, found, drop, each, each, each, free)


def test_sentences_are_no_more_than_the_numbers():
  begun = "How often inspect names B of the prompts that are to fool it, and of those that are to "
  begun += "fool nobody: cell 90.0 % and "
  apart, few = (
    "Fooled, by intervals that do not overlap: ",
    "Of fewer than 10 texts intervals tell ",
  )
  assert verdicts([line_of(0.9, 0.2)]) == [
    f"{begun}20.0 %, at Δ̂ 2.0 %.",
    f"{apart}inspect (cell).",
  ]
  assert verdicts([line_of(0.9, 0.75)]) == [
    f"{begun}75.0 %, at Δ̂ 2.0 %.",
    f"{apart}no reader.",
  ]
  for texts in ((9, 12), (12, 9)):
    found = verdicts([line_of(0.9, 0.2, *texts)])
    assert found == [f"{begun}20.0 %, at Δ̂ 2.0 %.", f"{few}nothing apart."]
  both = verdicts([line_of(0.9, 0.2), dataclasses.replace(line_of(0.9, 0.2, 9), arm="γ = 0.01")])
  assert both == [
    f"{begun}20.0 %, at Δ̂ 2.0 %; γ = 0.01 90.0 % and 20.0 %, at Δ̂ 2.0 %.",
    f"{few}nothing apart.",
    f"{apart}inspect (cell).",
  ]
  assert verdicts([dataclasses.replace(line_of(0.9, 0.2), delta=None)]) == []
  assert verdicts([dataclasses.replace(line_of(0.9, 0.2), fooled=NOBODY)]) == []


def test_what_a_reader_cannot_say_does_not_count_against_it(out, given, lm, readers):
  """Of a text of two lines verbalise says the first, and that is all of what it could say."""
  text = ("other", "subj_0", f"{TOLD['subj']}\nblue train")
  for fool in ([], ["--fool", "verbalise"]):
    (config,) = configs_of(given, *fool, tasks=("sst2",))
    name = "fool-verbalise" if fool else "more"
    write_run(out / name / "000-sst2", lm, config, [text])
  found = fooled_readers.measure(configs_of(given), out)
  (line,) = (of for of in found["numbers"] if (of["fooled"], of["arm"]) == ("verbalise", "cell"))
  assert line["f1"]["verbalise"]["mean"] == 1.0
  assert line["f1"]["nearest"]["mean"] == 1.0


def test_descriptions_share_no_word():
  """So that what the made-up readers say names one task."""
  words = [word for text in TOLD.values() for word in text.split()]
  assert len(set(words)) == len(words)
