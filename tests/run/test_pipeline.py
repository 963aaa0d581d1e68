"""A run from its configuration to its folder; the sweep and the evaluation are stand-ins."""

import io
import json
import logging
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tiny
from rich.console import Console
from safetensors.numpy import save_file

import wayjax
from wayjax.config import RunConfig
from wayjax.data.targets import Target
from wayjax.data.tasks import get_task
from wayjax.devices import processes
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluation
from wayjax.prompts import SoftPrompt
from wayjax.results.lock import FolderTaken
from wayjax.run import pipeline
from wayjax.run.display import Display
from wayjax.run.stopping import RunStopped
from wayjax.tuning.batches import RowSize
from wayjax.tuning.callbacks import Meter, Progress, Stopped
from wayjax.tuning.decisions import Decision
from wayjax.tuning.members import TunedPrompt
from wayjax.tuning.step import StepLosses

TASK = get_task("sst2")
TARGETS = [Target("text", "text-1", "read me"), Target("text", "text-2", "or this")]
DECISION = Decision(
  padded=8, after=0, members_at_once=2, remat=False, sizes=(RowSize(text=64, scored=8, reach=8),)
)


class FakeSweep:
  """Stands in for `tune_chunks`: two members a chunk, which stay as they begin.

  Attributes:
    given: what the last call was given, by name.
    after: called with the number of the chunk after each that was taken.
  """

  def __init__(self):
    self.given: dict = {}
    self.after = lambda number: None

  def __call__(self, lm, examples, members, settings, callbacks, recovery=None):
    self.given = {
      "members": members, "settings": settings, "callbacks": callbacks, "recovery": recovery
    }  # fmt: skip
    finished = recovery.finished if recovery else ()
    left = [member for member in members if member.key not in finished]
    for number, start in enumerate(range(0, len(left), 2), start=1):
      chunk = left[start : start + 2]
      callbacks.on_progress(self.progress(chunk, settings.steps))
      yield [self.tuned(lm, member, settings.steps) for member in chunk]
      self.after(number)

  @staticmethod
  def progress(chunk, steps):
    losses = StepLosses(*np.ones((2, len(chunk), steps), np.float32))
    meter = Meter(8 * steps)
    meter.add(2 * steps, 1.0)
    return Progress(chunk, steps, steps, losses, steps, meter, 0, list)

  @staticmethod
  def tuned(lm, member, steps):
    prompt = SoftPrompt(member.init_PxD, lm.name, member.target)
    return TunedPrompt(prompt, member, *np.ones((2, steps), np.float32), None, 1.0)


@pytest.fixture(autouse=True)
def sweep(monkeypatch):
  found = FakeSweep()
  monkeypatch.setattr(pipeline, "tune_chunks", found)
  return found


class FakeEvaluators:
  """Stands in for `Evaluator`: every prompt gets half of the examples right.

  Attributes:
    made: the examples of each evaluator, and how many prompts it takes at once.
    scored: how many prompts each call scored.
  """

  def __init__(self):
    self.made: list[tuple[int, int]] = []
    self.scored: list[int] = []

  def __call__(self, lm, examples, at_once):
    self.made.append((len(examples), at_once))
    return self.score

  def score(self, prompts):
    self.scored.append(len(prompts))
    return [Evaluation(0.5, 0.5, 1.0, None, None) for _ in prompts]


@pytest.fixture(autouse=True)
def evaluators(monkeypatch):
  found = FakeEvaluators()
  monkeypatch.setattr(pipeline, "Evaluator", found)
  return found


@pytest.fixture
def run(model_dir, data_dir, tmp_path):
  """Runs a configuration with some changes, by default in a new folder."""

  def run(**changes):
    given = {
      "dataset": "sst2", "model": str(model_dir), "data_dir": str(data_dir), "seeds": (1, 10),
      "steps": 4, "precision": "float32", "out": str(tmp_path / "run"),
    }  # fmt: skip
    console = Console(file=io.StringIO())
    with Display(console) as display:
      try:
        return pipeline.run(RunConfig(**given | changes), TASK, TARGETS, display)
      finally:
        shown.append(console.file.getvalue())

  shown = run.shown = []
  return run


def keys(folder) -> list[str]:
  return [row["prompt_key"] for row in wayjax.read_run(folder).rows]


def test_a_run_is_its_folder(run, tmp_path):
  folder = run()
  assert folder == tmp_path / "run"
  found = wayjax.read_run(folder)
  assert len(found.rows) == 8
  assert found.config["steps"] == 4
  for row in found.rows:
    assert found.prompt(row["prompt_key"]).reads_as.text == row["target_text"]
    assert found.reading(row["prompt_key"])
  assert "| read me |" in (folder / "summary.md").read_text()
  (shown,) = run.shown
  assert "sst2: 54 training, 6 dev, 20 test rows" in shown
  assert "measuring 2 members on 20 rows" in shown
  assert shown.splitlines()[-1] == f"8 of 8 members are in {folder}"


def test_rows_are_written_chunk_by_chunk(run, sweep, tmp_path):
  written = []
  sweep.after = lambda number: written.append(len(keys(tmp_path / "run")))
  run()
  assert written == [2, 4, 6, 8]


class TestDryRun:
  def test_it_stops_after_the_first_dispatch_and_writes_nothing(self, run, sweep, tmp_path):
    sweep.after = lambda number: pytest.fail("a chunk was finished")
    assert run(dry_run=True) is None
    assert not (tmp_path / "run").exists()
    assert sweep.given["recovery"] is None
    (shown,) = run.shown
    assert "8 = 2 targets x 2 gamma x 2 seeds" in shown
    assert shown.splitlines()[-1].endswith("training takes about 4 s")

  def test_other_errors_are_not_hidden(self, run, monkeypatch):
    def fail(*args):
      raise WayjaxError("not even one member")

    monkeypatch.setattr(pipeline, "tune_chunks", fail)
    with pytest.raises(WayjaxError, match="not even one member"):
      run(dry_run=True)


class TestFolder:
  @pytest.mark.parametrize(
    ("model", "name"),
    [("gpt2-large", "gpt2-large"), ("org/A b:c.gguf", "A-b-c.gguf"), ("./", "model")],
  )
  def test_by_default_it_is_named_after_task_model_and_time(self, model, name):
    folder = pipeline.default_folder(RunConfig(dataset="sst2", model=model), TASK)
    assert folder.parent == Path("runs")
    assert re.fullmatch(rf"sst2-{re.escape(name)}-\d{{8}}-\d{{6}}", folder.name)

  def test_where_none_is_named_that_is_the_one(self, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = run(out=None)
    assert folder.parent == Path("runs")
    assert len(keys(folder)) == 8

  def test_two_runs_of_the_same_second_have_one_each(self, run, sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "default_folder", lambda config, task: Path("runs/sst2-tiny"))
    started = []

    def start_another(number):
      sweep.after = lambda number: None
      started.append(run(out=None, seeds=(5,)))

    sweep.after = start_another
    first = run(out=None)
    (second,) = started
    assert (first, second) == (Path("runs/sst2-tiny"), Path("runs/sst2-tiny-2"))
    assert run(out=None) == Path("runs/sst2-tiny-3")
    assert [len(keys(folder)) for folder in (first, second)] == [8, 4]

  def test_while_it_is_written_nobody_else_takes_it(self, run, sweep, tmp_path):
    chunks = []

    def start_others(number):
      chunks.append(number)
      with pytest.raises(FolderTaken, match="is not empty"):
        run()
      with pytest.raises(FolderTaken, match="is in use by process"):
        run(resume=str(tmp_path / "run"))

    sweep.after = start_others
    run()
    assert chunks == [1, 2, 3, 4]
    run(resume=str(tmp_path / "run"))

  def test_the_others_end_where_the_first_process_cannot_write(self, run, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    monkeypatch.setattr(processes, "gather", lambda *numbers: np.ones((2, len(numbers))))
    with pytest.raises(WayjaxError, match="the first process cannot write the run folder"):
      run()
    assert not (tmp_path / "run").exists()

  def test_a_wrong_input_leaves_none_behind(self, run, tmp_path):
    with pytest.raises(WayjaxError, match="does not exist"):
      run(model="./nowhere")
    assert not (tmp_path / "run").exists()

  def test_only_the_first_process_writes(self, run, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    run()
    assert not (tmp_path / "run").exists()


class TestWhatEndsARun:
  def test_a_request_stops_it_as_soon_as_the_sweep_has_saved(self, run, sweep, tmp_path):
    def ask(number):
      stop = sweep.given["callbacks"].stop
      assert not stop()
      signal.raise_signal(signal.SIGTERM)
      assert stop()
      raise Stopped

    sweep.after = ask
    with pytest.raises(RunStopped) as caught:
      run()
    assert caught.value.folder == tmp_path / "run"
    assert caught.value.signal is signal.SIGTERM
    assert "stopping when these steps are done" in run.shown[0]
    assert "2 of 8 members are in" in run.shown[0]

  def test_another_process_may_have_been_asked(self, run, sweep):
    def stop_of_another(number):
      raise Stopped

    sweep.after = stop_of_another
    with pytest.raises(RunStopped) as caught:
      run()
    assert caught.value.signal is signal.SIGTERM

  @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
  def test_what_is_finished_is_in_the_closing_table(self, run, sweep, tmp_path, error):
    def fail(number):
      if number == 2:
        raise error

    sweep.after = fail
    with pytest.raises(error):
      run()
    assert len(keys(tmp_path / "run")) == 4
    assert (tmp_path / "run" / "summary.md").read_text().count("| read me | 0.01 |") == 1
    assert "4 of 8 members are in" in run.shown[0]

  def test_without_a_finished_member_there_is_no_table(self, run, monkeypatch, tmp_path):
    def fail(*args):
      raise RuntimeError
      yield

    monkeypatch.setattr(pipeline, "tune_chunks", fail)
    with pytest.raises(RuntimeError):
      run()
    assert not (tmp_path / "run" / "summary.md").exists()
    assert wayjax.read_run(tmp_path / "run").rows == []


class TestResume:
  @pytest.fixture
  def begun(self, run, sweep, tmp_path):
    """The folder of a run of which one chunk was finished, and how it was decided to train it."""

    def decide_and_stop(number):
      sweep.given["recovery"].decisions.add(DECISION)
      raise KeyboardInterrupt

    sweep.after = decide_and_stop
    with pytest.raises(KeyboardInterrupt):
      run()
    sweep.after = lambda number: None
    return tmp_path / "run"

  def test_only_what_is_left_is_trained(self, run, sweep, begun):
    before = keys(begun)
    assert len(before) == 2
    assert run(out=None, resume=str(begun)) == begun
    recovery = sweep.given["recovery"]
    assert recovery.finished == set(before)
    assert len(sweep.given["members"]) == 8
    assert recovery.decisions.find(8, "c-dist", 0) == DECISION
    assert keys(begun)[:2] == before
    assert len(set(keys(begun))) == len(keys(begun)) == 8
    shown = run.shown[-1]
    assert f"2 of 8 members are in {begun} already" in shown
    assert f"8 of 8 members are in {begun}" in shown.splitlines()[-1]

  def test_a_target_that_was_scored_is_not_scored_again(self, run, begun, evaluators):
    assert evaluators.scored == [2, 1]  # a chunk, and its target
    run(out=None, resume=str(begun))
    assert evaluators.scored[2:] == [2, 0, 2, 1, 2, 0]

  def test_a_member_that_is_trained_again_has_one_row(self, run, sweep, begun, monkeypatch):
    """Members that are finished are trained again where their chunk has others that are not."""
    whole = FakeSweep()

    def again(lm, examples, members, settings, callbacks, recovery):
      yield from whole(lm, examples, members, settings, callbacks)

    monkeypatch.setattr(pipeline, "tune_chunks", again)
    run(out=None, resume=str(begun))
    assert len(set(keys(begun))) == len(keys(begun)) == 8
    assert "8 of 8 members are in" in run.shown[-1].splitlines()[-1]

  def test_points_after_the_step_from_which_members_train_again_are_dropped(
    self, run, sweep, begun, tmp_path
  ):
    points = wayjax.read_run(begun).metrics
    assert [point["step"] for point in points] == [4, 4]
    first, second = (point["prompt_key"] for point in points)
    sweep.after = lambda number: sweep.given["callbacks"].on_start(
      [member for member in sweep.given["members"] if member.key == first], 3
    )
    run(out=None, resume=str(begun))
    left = [point["prompt_key"] for point in wayjax.read_run(begun).metrics]
    assert first not in left
    assert second in left

  @pytest.mark.parametrize(("name", "before"), [("device", "older"), ("versions", {"jax": "0"})])
  def test_another_machine_is_a_warning(self, run, begun, name, before):
    config = json.loads((begun / "config.json").read_text())
    config["resolved"][name] = before
    (begun / "config.json").write_text(json.dumps(config))
    run(out=None, resume=str(begun))
    assert f"warning: {name} was {before} and is " in run.shown[-1]
    assert "numbers may differ in their last digits" in run.shown[-1]

  @pytest.mark.parametrize(
    ("name", "what"),
    [
      ("data_sha256", "rows"),
      ("model_sha256", "model's weights"),
      ("weights_sha256", "model's weights or hyper-parameters"),
      ("tokenizer_sha256", "tokenizer's tokens or rules"),
    ],
  )
  def test_other_rows_or_weights_are_refused(self, run, begun, name, what):
    config = json.loads((begun / "config.json").read_text())
    now = config["resolved"][name]
    config["resolved"][name] = "0" * 64
    (begun / "config.json").write_text(json.dumps(config))
    sentence = rf"the {what} are not those .* \({name} is {now[:12]}, and was 000000000000\)"
    with pytest.raises(WayjaxError, match=sentence):
      run(out=None, resume=str(begun))
    assert len(keys(begun)) == 2

  @pytest.fixture
  def own_model(self, model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "model")

  def begin(self, run, sweep, model):
    def stop(number):
      raise KeyboardInterrupt

    sweep.after = stop
    with pytest.raises(KeyboardInterrupt):
      run(model=str(model))
    sweep.after = lambda number: None

  def test_other_layers_are_refused_though_the_embeddings_are_the_same(
    self, run, sweep, own_model, tmp_path
  ):
    self.begin(run, sweep, own_model)
    zeroed = {name: array * (0 if ".h." in name else 1) for name, array in tiny.tensors().items()}
    save_file(zeroed, own_model / "model.safetensors")
    with pytest.raises(WayjaxError, match=r"model's weights or .* \(weights_sha256 is .*: give"):
      run(model=str(own_model), out=None, resume=str(tmp_path / "run"))
    assert len(keys(tmp_path / "run")) == 2
    save_file(tiny.tensors(), own_model / "model.safetensors")
    run(model=str(own_model), out=None, resume=str(tmp_path / "run"))
    assert len(keys(tmp_path / "run")) == 8

  def test_another_tokenizer_is_refused(self, run, sweep, own_model, tmp_path):
    self.begin(run, sweep, own_model)
    path = own_model / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "NFC"}}))
    with pytest.raises(WayjaxError, match=r"the tokenizer's tokens or rules .*tokenizer_sha256 is"):
      run(model=str(own_model), out=None, resume=str(tmp_path / "run"))

  def test_a_folder_that_knows_only_the_embeddings_is_resumed_and_compares_them(self, run, begun):
    """As versions wrote it that did not hash the other weights, or the tokenizer."""
    config = json.loads((begun / "config.json").read_text())
    for name in ("weights_sha256", "tokenizer_sha256"):
      assert len(config["resolved"].pop(name)) == 64
    (begun / "config.json").write_text(json.dumps(config))
    run(out=None, resume=str(begun))
    assert len(keys(begun)) == 8
    config["resolved"]["model_sha256"] = "0" * 64
    (begun / "config.json").write_text(json.dumps(config))
    with pytest.raises(WayjaxError, match="model_sha256 is"):
      run(out=None, resume=str(begun))


@pytest.mark.parametrize(("members_at_once", "at_once"), [("auto", None), (2, 2)])
def test_no_more_are_scored_at_once_than_are_trained(run, evaluators, members_at_once, at_once):
  run(members_at_once=members_at_once, eval_every=3)
  assert evaluators.made == [(20, at_once), (6, at_once)]


def test_dev_is_not_scored_unless_that_is_asked_for(run, evaluators):
  run()
  assert evaluators.made == [(20, None)]


def test_new_decisions_are_kept_at_once(run, sweep, tmp_path):
  def decide(number):
    sweep.given["recovery"].decisions.add(DECISION)
    stored = wayjax.read_run(tmp_path / "run").decisions()
    assert stored == [DECISION.to_json()] * number

  sweep.after = decide
  run()


def test_what_is_not_a_demo_does_not_say_what_a_demo_means(run):
  run()
  assert "A prompt can solve" not in run.shown[0]
  assert logging.getLogger("wayjax").handlers == []
