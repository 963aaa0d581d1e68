"""The table of what readers see of wayward prompts, from made-up runs of a tiny model."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import tiny
from dry_runs import calls_of
from read_runs import TEXTS, TOLD, VARIANTS, configs_of, write_run

from experiments import experiment, readers_bench
from experiments.readings import asking
from experiments.readings.cases import ELSEWHERE, PLAIN, RANDOM, TRUE, Case
from experiments.readings.kept import Kept
from experiments.readings.scoring import FIELDS, LEAST_GAIN, Line, Scorer
from experiments.readings.table import verdicts
from wayjax import run as wayjax_run
from wayjax.audit.measure import Trial
from wayjax.command_line import parse_args
from wayjax.config import variants
from wayjax.data.encoding import encode, token_ids
from wayjax.data.examples import load_data
from wayjax.data.tasks import TASKS
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluation, Evaluator, evaluate
from wayjax.metrics import prompt_f1
from wayjax.prompts import text_prompt
from wayjax.readers import READERS, Reading, scores, verbalise
from wayjax.readers.reading import DEFAULT
from wayjax.report.statistics import Estimate
from wayjax.results.folder import read_run


@pytest.fixture
def out(tmp_path, lm, given):
  """A folder with a run of either task."""
  for config in configs_of(given):
    write_run(tmp_path / f"000-{config.dataset}", lm, config, TEXTS[config.dataset])
  return tmp_path


@pytest.fixture
def small(tmp_path, lm, given):
  """A folder with a run of one text and one seed."""
  config, _ = configs_of(given)
  write_run(tmp_path / "000-sst2", lm, config, TEXTS["sst2"][:1], seeds=(1,))
  return tmp_path


class Counted:
  """A reader that counts the prompts that it reads, and says two texts: the first is settled on."""

  def __init__(self, said):
    self.said, self.read = said, 0

  def __call__(self, lm, prompts, context=DEFAULT):
    self.read += len(prompts)
    return [_Several(text=self.said[0], prompt_f1=None, prompt_f1_lemma=None) for _ in prompts]


class _Several(Reading):
  @property
  def all_texts(self):
    return (self.text, "film mood", "film mood opinion fact")


class FakeEvaluator:
  """Scores prompts by their vectors; nothing is compiled."""

  def __init__(self, lm, examples, **options):
    self.examples = examples

  def __call__(self, prompts):
    return [self.score(b"" if each is None else each.vectors_PxD.tobytes()) for each in prompts]

  @staticmethod
  def score(vectors: bytes) -> Evaluation:
    rng = np.random.default_rng(list(hashlib.sha256(vectors).digest()))
    losses_NxC = rng.random((8, 2))
    return Evaluation(rng.random(), None, 1.0, losses_NxC.argmin(axis=1), losses_NxC)


@pytest.fixture
def only(monkeypatch):
  """A function that leaves these readers alone in the list, and compiles nothing to try texts."""

  def leave(*, evaluator=FakeEvaluator, **readers):
    monkeypatch.setattr(asking, "Evaluator", evaluator)
    for name in set(READERS) - {"nearest"}:
      monkeypatch.delitem(READERS, name)
    for name, read in readers.items():
      monkeypatch.setitem(READERS, name, read)

  return leave


def lines_of(found) -> dict[tuple, dict]:
  table = found["table"]
  return {
    tuple(line[:3]): dict(zip(table["columns"], line, strict=True)) for line in table["lines"]
  }


def numbers_of(found, *line) -> dict:
  (of,) = (o for o in found["numbers"] if (o["reader"], o["kind"], o["arm"]) == line)
  return of


def mean_of(found, line, name):
  estimate = numbers_of(found, *line)["means"][name]
  return estimate and estimate["mean"]


def test_nearest_tokens_name_what_prompts_are_held_to_and_controls_what_they_are(out, given, only):
  only()
  found = readers_bench.measure(configs_of(given), out)
  lines = lines_of(found)
  arms = (*VARIANTS, RANDOM, ELSEWHERE, PLAIN, TRUE)
  assert list(lines) == [
    ("nearest", kind, arm) for kind in ("another task's", "any other") for arm in arms
  ]
  for arm in (*VARIANTS, PLAIN):
    line = lines["nearest", "another task's", arm]
    assert line["names A %"] == "0.0 [0.0, 0.0]"
    assert line["names B %"] == "100.0 [100.0, 100.0]"
    assert (line["neither %"], line["F1 %"], line["texts"]) == ("0.0", "100.0", "2")
    line = lines["nearest", "any other", arm]
    assert (line["names A %"], line["names B %"], line["neither %"]) == ("0.0", "–", "100.0")
    assert line["texts"] == "1"  # the same of both tasks
  line = lines["nearest", "another task's", TRUE]
  assert (line["names A %"], line["names B %"]) == ("100.0 [100.0, 100.0]", "0.0 [0.0, 0.0]")
  assert (line["neither %"], line["F1 %"]) == ("0.0", "0.0")
  # Of the other task there is no prompt of the same text, but one that is held to this task's.
  line = lines["nearest", "another task's", ELSEWHERE]
  assert (line["names A %"], line["names B %"]) == ("100.0 [100.0, 100.0]", "0.0 [0.0, 0.0]")
  assert lines["nearest", "any other", ELSEWHERE]["F1 %"] == "100.0"
  assert lines["nearest", "another task's", RANDOM]["neither %"] == "100.0"
  assert "Read: 24 tuned prompts of sst2, subj, and 20 controls" in found["table"]["caption"]
  left, right = found["panels"]
  for panel, named in ((left, {TRUE, ELSEWHERE}), (right, {*VARIANTS, PLAIN})):
    shares = {dot["label"]: (dot["row"], dot["mean"]) for dot in panel["dots"]}
    assert shares == {arm: ("nearest", float(arm in named)) for arm in arms}
  assert found["verdicts"] == [
    f"Held to another task's description, {arm}: nearest names A of 0.0 % (of random tokens, 0.0 "
    "%, of prompts of other tasks 100.0 %); of fewer than 10 texts intervals tell nothing apart."
    for arm in VARIANTS
  ]


def line_of(reader, arm, share, texts=12) -> Line:
  found = share and Estimate(share, share - 0.1, share + 0.1, texts)
  return Line(reader, "another task's", arm, texts, dict.fromkeys(FIELDS, found), {})


def test_sentences_are_no_more_than_the_numbers():
  lines = [line_of("one", "cell", 0.5), line_of("one", RANDOM, 0.25), line_of("one", TRUE, 0.4)]
  lines += [line_of("two", "cell", 0.2), line_of("two", RANDOM, 0.25), line_of("two", TRUE, 0.75)]
  begun = "Held to another task's description, cell: one names A of 50.0 % (of random tokens, 25.0 "
  begun += "%), no other reader of more than 20.0 %; "
  failing = "Readers that name the task of fewer than half of its true descriptions, so that what "
  failing += "they do not see shows nothing: one (40.0 %)."
  beyond = "more often than of these controls, by intervals that do not overlap: "
  assert verdicts(lines) == [f"{begun}{beyond}one.", failing]
  lines[1] = line_of("one", RANDOM, 0.31)  # up to 0.41, and the prompts' from 0.4
  assert verdicts(lines)[0].endswith(f"20.0 %; {beyond}none.")
  lines[1] = line_of("one", RANDOM, 0.25)
  elsewhere = line_of("one", ELSEWHERE, 0.31)
  (sentence, _) = verdicts([*lines, elsewhere])
  assert "(of random tokens, 25.0 %, of prompts of other tasks 31.0 %)" in sentence
  assert sentence.endswith(f"20.0 %; {beyond}none.")
  lines[3] = line_of("two", "cell", 0.2, texts=9)
  assert verdicts(lines)[0].endswith("; of fewer than 10 texts intervals tell nothing apart.")
  assert verdicts([line_of("one", "cell", None), line_of("one", TRUE, None)]) == []


def test_of_several_texts_the_mean_is_shown_and_the_best_in_brackets(out, given, only):
  said = Counted(("the subjective one",))
  only(says=said)
  found = readers_bench.measure(configs_of(given, "--readers", "says"), out)
  line = "says", "another task's", "cell"
  # Of A = sst2: neither, A, and both as much, which is neither; of A = subj: neither, B, neither.
  assert mean_of(found, line, "names_a") == pytest.approx((1 / 3 + 0) / 2)
  assert mean_of(found, line, "names_b") == pytest.approx((0 + 1 / 3) / 2)
  assert mean_of(found, line, "neither") == pytest.approx(2 / 3)
  most = {name: each["mean"] for name, each in numbers_of(found, *line)["most"].items()}
  assert (most["names_a"], most["names_b"]) == (0.5, 0.5)
  # "subjective" is one of the two classes of subj.
  assert mean_of(found, line, "class_rate") == pytest.approx((0 + 0.5 / 3) / 2)
  texts = "the subjective one", "film mood", "film mood opinion fact"
  f1 = [np.mean([prompt_f1(r, t) for r in texts]) for t in (TOLD["subj"], TOLD["SST-2"])]
  assert mean_of(found, line, "f1") == pytest.approx(np.mean(f1))
  shown = lines_of(found)[line]
  assert shown["names A %"].startswith("16.7 (50.0) [0.0, 33.3]")
  assert shown["neither %"] == "66.7"
  assert sorted({key[0] for key in lines_of(found)}) == ["says"]


def test_what_a_text_does_is_measured_in_the_prompts_place(small, given, only, lm, monkeypatch):
  only(says=Counted(("film mood",)), evaluator=Evaluator)
  monkeypatch.setattr("experiments.readings.scoring.LEAST_GAIN", -1.0)
  found = readers_bench.measure(configs_of(given, "--readers", "says", tasks=("sst2",)), small)
  task, folder = TASKS["sst2"], given[given.index("--data-dir") + 1]
  rows = encode(lm.tokenizer, task, load_data(task, folder).evaluation.drawn(200))
  run = read_run(small / "000-sst2")
  (key,) = (row["prompt_key"] for row in run.rows if row["constraint"] == "cell")
  hard, none, soft = evaluate(lm, rows, [text_prompt(lm, "film mood"), None, run.prompt(key)])
  expected = {
    "kl": scores.kl(soft, hard),
    "agreement": scores.agreement(soft, hard),
    "faithfulness": scores.faithfulness(hard.accuracy, soft.accuracy, none.accuracy),
  }
  line = "says", "another task's", "cell"
  for name, value in expected.items():
    assert mean_of(found, line, name) == (value and pytest.approx(value, rel=1e-4)), name


def test_what_was_read_is_never_read_again(out, given, only, capsys):
  said = Counted(("film mood",))
  only(says=said)
  configs = configs_of(given, "--readers", "says")
  first = readers_bench.measure(configs, out)
  assert said.read == 2 * 21  # of either task; both texts have the same true description
  assert "says reads sst2: 21 of 21, " in capsys.readouterr().out
  assert readers_bench.measure(configs, out) == first
  assert said.read == 2 * 21
  assert "reads" not in capsys.readouterr().out
  path = out / "readers_bench.readings.jsonl"
  whole = path.read_bytes()
  for part in (0.3, 0.8):  # cut off within a line
    path.write_bytes(whole[: int(part * len(whole))])
    assert readers_bench.measure(configs, out) == first
  assert sorted(path.read_bytes().splitlines()) == sorted(set(whole.splitlines()))


def test_a_file_of_other_things_is_a_sentence(out, given, only):
  only()
  (out / "readers_bench.readings.jsonl").write_text('{"text": "no key"}\n')
  with pytest.raises(WayjaxError, match=r"readings\.jsonl, line 1 is damaged: it lacks key"):
    readers_bench.measure(configs_of(given), out)


@pytest.mark.parametrize("tuned_apart", [False, True])
def test_shards_together_are_the_whole(tmp_path, lm, given, only, tuned_apart):
  said, asked = Counted(("film mood",)), [*given, "--readers", "says"]
  only(says=said)
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  for config in configs_of(asked):
    texts = TEXTS[config.dataset]
    write_run(whole / f"000-{config.dataset}", lm, config, texts)
    for i, seed in enumerate((1, 2)):
      name, shard = f"00{i}-{config.dataset}", (i, 2)
      if tuned_apart:
        write_run(parts / name, lm, config, texts, seeds=(seed,), shard=shard)
      elif not i:
        write_run(parts / name, lm, config, texts)
  expected = readers_bench.measure(configs_of(asked), whole)
  said.read = 0
  first = readers_bench.measure(configs_of(asked, "--shard", "0/2"), parts)
  assert "Readings that are not there yet: " in first["table"]["caption"]
  assert 0 < said.read < 42
  readers_bench.measure(configs_of(asked, "--shard", "1/2"), parts)
  assert said.read == 42
  names = {path.name for path in parts.glob("*.jsonl")}
  assert names == {f"readers_bench.readings-{i}-of-2.jsonl" for i in (0, 1)}
  assert readers_bench.measure(configs_of(asked), parts) == expected
  assert said.read == 42


def test_of_one_task_there_is_no_other_tasks_prompt(out, given, only):
  only()
  found = readers_bench.measure(configs_of(given, tasks=("subj",)), out)
  arms = [arm for _, kind, arm in lines_of(found) if kind == "any other"]
  assert arms == [*VARIANTS, RANDOM, PLAIN, TRUE]


def test_prompts_that_diverged_are_left_out_and_counted(tmp_path, lm, given, only):
  only()
  config, other = configs_of(given)
  write_run(tmp_path / "a", lm, config, TEXTS["sst2"], diverged={("cell", 1), ("cell", 2)})
  found = readers_bench.measure([config, other], tmp_path)
  assert ("nearest", "any other", "cell") not in lines_of(found)
  assert "Prompts left out because they diverged: 4." in found["table"]["caption"]


def test_without_runs_or_with_runs_of_several_settings_there_is_a_sentence(
  tmp_path, lm, given, only
):
  only()
  config, _ = configs = configs_of(given)
  with pytest.raises(WayjaxError, match="is not a run folder and holds none"):
    readers_bench.measure(configs, tmp_path / "nothing")
  ni = (("ni", "subj_0", "some task"),)
  write_run(tmp_path / "a", lm, config, ni)
  with pytest.raises(WayjaxError, match=r"holds no prompts of .* to read: run the experiment"):
    readers_bench.measure(configs, tmp_path)
  write_run(tmp_path / "b", lm, config, TEXTS["sst2"])
  short = dataclasses.replace(config, max_length=64)
  write_run(tmp_path / "c", lm, short, (("other", "trec_0", TOLD["trec"]),))
  with pytest.raises(WayjaxError, match="holds prompts of several settings"):
    readers_bench.measure(configs, tmp_path)


def test_who_cannot_be_asked_is_noted_and_refused_where_it_is_named(out, given, only):
  def refuse(lm, prompts, context=DEFAULT):
    raise WayjaxError("the reader needy needs a friend")

  only(needy=refuse)
  found = readers_bench.measure(configs_of(given, tasks=("sst2",)), out)
  assert (
    "Readers that could not be asked: needy of sst2 (the reader needy needs a friend)."
    in found["table"]["caption"]
  )
  with pytest.raises(WayjaxError, match="needs a friend"):
    readers_bench.measure(configs_of(given, "--readers", "needy", tasks=("sst2",)), out)


def test_a_reading_that_does_not_fit_the_model_is_counted(out, given, only):
  only(long=Counted(("x" * 150,)))
  found = readers_bench.measure(configs_of(given, "--readers", "long", tasks=("sst2",)), out)
  assert "Readings too long for the model to be tried: 18." in found["table"]["caption"]
  assert lines_of(found)["long", "any other", "cell"]["agree %"] == "–"


def test_the_model_is_asked_which_task_it_would_rather_describe(lm, given, tmp_path):
  config, _ = configs_of(given)
  data = load_data(TASKS["sst2"], config.data_dir)
  descriptions = {"sst2": ("film", "mood"), "subj": ("opinion",)}
  kept = Kept(tmp_path, None)
  asker = asking.Asker(lm, Trial(TASKS["sst2"], data), descriptions, "euclidean", kept)
  prompt = dataclasses.replace(text_prompt(lm, "read"), before="", after="", reply="")
  asker.compare("verbalise", [prompt], asking.Progress(1))
  (request,) = verbalise.sequences(lm, [prompt])
  frame = dataclasses.replace(request.frame, reply="", reply_ids=())
  rows = {
    text: tiny.unpacked_losses(
      prompt.vectors_PxD,
      np.array(request.frame.reply_ids),
      np.array(token_ids(lm.tokenizer, [f" {text}"])[0]),
      frame=frame,
    )
    for text in ("film", "mood", "opinion")
  }
  found = kept[asker.key(prompt, "verbalise")]["log_p"]
  expected = {
    "sst2": -np.mean([rows["film"].mean(), rows["mood"].mean()]),
    "subj": -rows["opinion"].mean(),
  }
  assert found == pytest.approx(expected, rel=1e-5)


def test_scores_of_one_reading_by_hand(lm):
  told = {name: (text,) for name, text in zip(TASKS, TOLD.values(), strict=True)}
  scorer = Scorer(told, lm.tokenizer)
  prompt = text_prompt(lm, "read")
  case = Case("sst2", TOLD["subj"], "subj", "cell", prompt)
  behaviour = {"text": 0.7, "prompt": 0.9, "nothing": 0.5, "kl": 0.25, "agreement": 0.75}
  record = {"texts": ["Film opinions, films!"], "log_p": {"sst2": -1.0, "subj": -2.0}}
  found, most = scorer(case, record | {"behaviour": behaviour})
  # Stemmed: film, opinion, film. With "film mood": precision 1/3, recall 1/2; so with B's.
  assert found == pytest.approx(
    {"names_a": 0, "names_b": 0, "neither": 1, "class_rate": 0, "f1": 0, "says_a": 1}
    | {"faithfulness": 0.5, "kl": 0.25, "agreement": 0.75}
  )
  assert most == {}
  found, _ = scorer(case, record | {"texts": ["a film"], "behaviour": None})
  assert (found["names_a"], found["names_b"], found["neither"]) == (1, 0, 0)
  assert (found["faithfulness"], found["kl"], found["agreement"]) == (None, None, None)
  little = behaviour | {"prompt": 0.5 + 0.9 * LEAST_GAIN}
  found, _ = scorer(case._replace(told=None), record | {"behaviour": little})
  assert (found["faithfulness"], found["says_a"], found["names_b"]) == (None, None, None)
  assert (found["names_a"], found["neither"]) == (1, 0)


def test_what_readers_say_of_real_prompts_has_its_lines(small, given, only):
  only(**{name: READERS[name] for name in ("inspect", "verbalise", "mixture")})
  found = readers_bench.measure(configs_of(given, tasks=("sst2",)), small)
  lines = lines_of(found)
  names = list(dict.fromkeys(reader for reader, *_ in lines))
  assert names == ["nearest", "verbalise", "mixture"]
  # The examples before a prompt leave no room for an answer in so small a model.
  assert "could not be asked: inspect of sst2 (" in found["table"]["caption"]
  for reader, kind, arm in lines:
    chosen = lines[reader, kind, arm]["A before B %"]
    assert (chosen == "–") == (reader != "verbalise" or kind == "any other")
  for reader, arm in (("mixture", "cell"), ("mixture", RANDOM)):
    line = lines[reader, "another task's", arm]
    assert 0 <= float(line["agree %"]) <= 100
    assert float(line["KL"]) >= 0


class TestCommand:
  """Which prompts are tuned, and who reads them."""

  def test_it_tunes_three_arms_of_two_groups_of_every_task(self, monkeypatch, tmp_path):
    calls = calls_of(readers_bench.EXPERIMENT, ["--model", "m"], monkeypatch, tmp_path)
    assert [call.dataset for call in calls] == list(TASKS)
    for call in calls:
      assert call.targets == ("other", "pile")
      held_in = variants(call.constraint, call.gamma, call.cell_gamma)
      assert held_in == tuple(VARIANTS.values())

  def test_the_demo_has_few_texts_unless_more_are_asked_for(self, monkeypatch, tmp_path):
    calls = calls_of(readers_bench.EXPERIMENT, ["--demo"], monkeypatch, tmp_path)
    assert [(call.dataset, *call.targets) for call in calls] == [
      ("trec", "demo-other"), ("trec", "demo"), ("subj", "demo-other"), ("subj", "demo")
    ]  # fmt: skip
    assert {(call.max_targets, call.seeds) for call in calls} == {(3, (1,))}
    calls = calls_of(
      readers_bench.EXPERIMENT,
      ["--demo", "--max-targets", "5", "--datasets", "sst2"],
      monkeypatch,
      tmp_path,
    )
    assert {(call.dataset, call.max_targets) for call in calls} == {("sst2", 5)}

  def test_readers_read_in_the_bench_and_not_in_its_runs(self, monkeypatch, tmp_path):
    asked = []

    def measure(configs, out):
      asked.extend(config.readers for config in configs)
      return {"table": {}}

    bench = dataclasses.replace(readers_bench.EXPERIMENT, measure=measure)
    calls = []
    monkeypatch.setattr(wayjax_run, "main", lambda call: calls.append(parse_args(call)) or 0)
    options = ["--demo", "--out", str(tmp_path), "--readers", "inspect", "nearest"]
    assert experiment.main(bench, "", options) == 0
    assert asked == [("inspect", "nearest")] * 2
    assert {call.readers for call in calls} == {()}
    command = json.loads((tmp_path / "readers_bench.measured.json").read_text())["command"]
    assert "--readers inspect nearest" in command
    assert "--max-targets 3" in command

  def test_a_reader_that_there_is_not_is_told_before_anything_is_tuned(self, capsys, tmp_path):
    options = ["--demo", "--out", str(tmp_path), "--readers", "nobody"]
    assert experiment.main(readers_bench.EXPERIMENT, "", options) == 2
    assert "unknown reader 'nobody': choose among nearest, " in capsys.readouterr().err
