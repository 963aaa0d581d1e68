"""Made-up rows: their answers are in their facts, and the tasks can be loaded."""

import re

from experiments.things_in_rooms import ROWS, TASKS, main, make_rows
from wayjax.data.examples import load_data
from wayjax.data.tasks import read_task_file
from wayjax.metrics import majority


def test_answers_are_what_the_facts_say():
  rows = make_rows(200, 7)
  for where, room in zip(rows["where"], rows["room"], strict=True):
    rooms = dict(re.findall(r"the (\w+) in the (\w+)\.", where["facts"]))
    (thing,) = re.findall(r"the (\w+)\?", where["question"])
    assert len(rooms) == 2
    assert rooms[thing] == where["room"] == room["label"]
    assert (room["facts"], room["question"]) == (where["facts"], where["question"])
  assert make_rows(200, 7) == rows
  assert make_rows(200, 8) != rows


def test_the_command_writes_tasks_that_can_be_loaded(tmp_path, capsys):
  out = tmp_path / "rooms"
  assert main(["--out", str(out)]) == 0
  assert "where.toml, room.toml" in capsys.readouterr().out
  for task in map(read_task_file, (out / f"{name}.toml" for name in TASKS)):
    data = load_data(task, out)
    assert (len(data.train), len(data.dev), len(data.evaluation)) == tuple(ROWS.values())
    assert majority(data.evaluation.labels) < 0.2
    assert not set(data.train.texts) & set(data.evaluation.texts)
  assert main(["--out", str(out)]) == 2
  assert "is not empty: name a new folder" in capsys.readouterr().err
