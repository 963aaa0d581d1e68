"""Runs with text around the prompt: the plan, the rows and the folder say it; resumed, it stays."""

import json
import shutil

import numpy as np
import pytest
import tiny
from comparison import what_counts

import wayjax
from wayjax.report import gather
from wayjax.run import main

CHAT = "{{ messages[0]['content'] }}</user>{% if add_generation_prompt %}<model>{% endif %}"


@pytest.fixture(scope="module")
def options(inputs):
  return [
    *inputs, "--target", "read me", "--seeds", "1", "--steps", "6", "--before", "Say: ",
    "--after", " / ", "--eval-every", "3", "--checkpoint-every", "0",
  ]  # fmt: skip


@pytest.fixture(scope="module")
def out(options, tmp_path_factory):
  folder = tmp_path_factory.mktemp("frame") / "run"
  assert main([*options, "--out", str(folder)]) == 0
  return folder


def test_the_plan_shows_an_example_as_the_model_sees_it(options, capsys):
  assert main([*options, "--dry-run"]) == 0
  line = "Say: [soft × 7] / ⟨text⟩ It was ⟨label⟩ .<|endoftext|>"
  assert f"sequence       {line}\n" in capsys.readouterr().out


def test_rows_prompts_and_the_folder_record_it(out):
  run = wayjax.read_run(out)
  assert {(row["before"], row["after"], row["reply"]) for row in run.rows} == {("Say: ", " / ", "")}
  assert {name: run.config["resolved"][name] for name in ("before", "after", "reply")} == {
    "before": "Say: ",
    "after": " / ",
    "reply": "",
  }
  prompt = run.prompt(run.rows[0]["prompt_key"])
  assert (prompt.before, prompt.after) == ("Say: ", " / ")


def test_the_rows_hold_what_the_prompts_score_in_their_frame(out, data_dir, lm):
  """Plainly: one example a row, `[before][prompt][after][text and template]`."""
  run = wayjax.read_run(out)
  task = wayjax.get_task("sst2")
  test = wayjax.load_data(task, data_dir).evaluation
  encoded = wayjax.encode(lm.tokenizer, task, test)  # without a frame
  frame = wayjax.make_frame(lm.tokenizer, "Say: ", " / ")
  for row in run.rows:
    vectors_PxD = run.prompt(row["prompt_key"]).vectors_PxD
    losses_NxC = np.array(
      [
        [
          tiny.unpacked_losses(vectors_PxD, prefix, candidate, "gpt2", frame).mean()
          for candidate in encoded.candidates
        ]
        for prefix in encoded.prefixes
      ]
    )
    right = losses_NxC.argmin(1) == encoded.labels
    assert row["accuracy"] == right.mean()
    true = losses_NxC[np.arange(len(right)), encoded.labels].mean()
    np.testing.assert_allclose(row["log_loss"], true, rtol=1e-5)
    (score,) = wayjax.evaluate(lm, wayjax.encode(lm.tokenizer, task, test, frame=frame), [
      run.prompt(row["prompt_key"])
    ])  # fmt: skip
    np.testing.assert_allclose(score.losses_NxC, losses_NxC, rtol=1e-5)


def test_runs_in_different_frames_are_different_settings(out, options, tmp_path):
  other = tmp_path / "other"
  words = [word if word != "Say: " else "Do: " for word in options]
  assert main([*words, "--out", str(other)]) == 0
  results = gather.merge(gather.find_runs([str(out), str(other)]))
  assert gather.labels(results) == ["sst2, before Say: ", "sst2, before Do: "]


def test_a_resumed_run_keeps_its_frame(out, options, tmp_path, capsys):
  folder = tmp_path / "run"
  shutil.copytree(out, folder)
  (folder / "results.jsonl").write_text("")
  assert main(["--resume", str(folder)]) == 0
  assert what_counts(folder) == what_counts(out)
  assert main(["--resume", str(folder), "--before", "Do: "]) == 2
  assert "--before cannot change when a run is resumed: it is Say: " in capsys.readouterr().err
  config = json.loads((folder / "config.json").read_text())
  config["resolved"]["before"] = "Do: "  # as if the tokenizer had begun texts otherwise
  (folder / "config.json").write_text(json.dumps(config))
  assert main(["--resume", str(folder)]) == 2
  assert "the texts before the prompts are not those that the run began with" in (
    capsys.readouterr().err
  )


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--before", "x" * 170], "--before and --after take 173 tokens, and the model has 160"),
    (["--chat"], "no chat template: leave --chat out"),
    (["--system", "Be brief."], "--system is the system's text of a chat: it goes with --chat"),
    (["--before", "x" * 150], "which with the longest example's"),
  ],
)
def test_a_frame_that_cannot_be_is_one_sentence(options, words, message, tmp_path, capsys):
  assert main([*options, *words, "--out", str(tmp_path / "run")]) == 2
  captured = capsys.readouterr()
  assert message in captured.err
  assert len(captured.err.splitlines()) == 1


def test_a_chat_is_tuned_in_the_form_of_the_template(options, model_dir, tmp_path, capsys):
  model = tmp_path / "model"
  shutil.copytree(model_dir, model)
  (model / "chat_template.jinja").write_text("<user>" + CHAT)
  words = [*options[: options.index("--before")], "--chat", "--model", str(model)]
  assert main([*words, "--out", str(tmp_path / "run")]) == 0
  line = "<user>[soft × 7]⟨text⟩</user><model>It was ⟨label⟩ .<|endoftext|>"
  assert f"sequence       {line}\n" in capsys.readouterr().out
  (row, _) = wayjax.read_run(tmp_path / "run").rows
  assert (row["before"], row["after"], row["reply"]) == ("<user>", "", "</user><model>")
