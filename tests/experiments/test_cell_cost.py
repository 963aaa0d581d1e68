"""What the cells cost a step: two programs take turns, in one process."""

import json

import pytest

from experiments.benchmark import cell_cost


def test_both_programs_take_their_turns(model_dir, data_dir, capsys, monkeypatch):
  turns = []
  take_turn = cell_cost._Contender.take_turn

  def counted(contender, steps):
    turns.append((contender.training.group.constraint, steps))
    take_turn(contender, steps)

  monkeypatch.setattr(cell_cost._Contender, "take_turn", counted)
  arguments = ["--model", str(model_dir), "--data-dir", str(data_dir), "--members", "2"]
  assert cell_cost.main([*arguments, "--steps", "2", "--turns", "3"]) == 0
  found = json.loads(capsys.readouterr().out)
  assert found["ms_a_step"].keys() == found["program_mib"].keys() == {"c-dist", "cell"}
  assert found["ratio_from_to"][0] <= found["ratio"] <= found["ratio_from_to"][1]
  assert all(value > 0 for value in found["ms_a_step"].values())
  # Each goes first as often as the other; the first round of the four only warms up.
  assert turns == [(name, 2) for name in ("cell", "c-dist", "c-dist", "cell") * 2]


def test_a_wrong_model_ends_in_one_sentence(data_dir, tmp_path, capsys):
  arguments = ["--model", str(tmp_path / "none"), "--data-dir", str(data_dir)]
  assert cell_cost.main(arguments) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("benchmark: error: model folder ")


@pytest.mark.parametrize("wrong", [["--shape", "gpt9"], ["--members", "x"]])
def test_a_wrong_option_is_refused(wrong):
  with pytest.raises(SystemExit) as error:
    cell_cost.parse_args(["--data-dir", "data", *wrong])
  assert error.value.code == 2
