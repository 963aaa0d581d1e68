"""The schema of a row, which rows, trackers, reports and the README's table are made from."""

import dataclasses
import json
from pathlib import Path

import pytest

from wayjax.results import rows
from wayjax.results.rows import Row

README = Path(__file__).resolve().parents[2] / "README.md"
FIELDS = dataclasses.fields(Row)


def a_row(**changes) -> Row:
  return Row(**({field.name: f"its {field.name}" for field in FIELDS} | changes))


def test_every_field_is_described():
  descriptions = [field.metadata["description"] for field in FIELDS]
  assert all(descriptions)
  assert len(set(descriptions)) == len(FIELDS)


def test_json_has_every_field_in_order_and_nothing_else():
  row = a_row(c_dist=None, readings={"nearest": {"text": "a"}})
  stored = row.to_json()
  assert list(stored) == [field.name for field in FIELDS]
  assert stored["c_dist"] is None
  assert json.loads(json.dumps(stored)) == stored
  assert Row(**stored) == row


def test_no_field_is_left_out_by_accident():
  with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'readings'"):
    Row(**{field.name: None for field in FIELDS if field.name != "readings"})


def test_what_earlier_versions_did_not_write_is_filled_in():
  new = dict.fromkeys(("certified", "certified_metrics", "margin", "margin_relative"))
  new |= {"before": "", "after": "", "reply": "", "log_loss": None, "rouge_l": None}
  filled_in = {"gamma": 0.0, "constraint": "c-dist", "readings": {}, **new}
  assert rows.from_json({"gamma": 0.0}) == filled_in
  stored = {"constraint": "ball", "readings": {"nearest": {}}, "from": "a later version"}
  stored |= {"certified": True, "certified_metrics": ["dot"], "margin": 1.0, "margin_relative": 2.0}
  stored |= {"before": "<s>", "after": "a", "reply": "b", "log_loss": 0.5, "rouge_l": 0.25}
  assert rows.from_json(stored) == stored


def test_what_is_filled_in_is_not_shared():
  rows.from_json({})["readings"]["nearest"] = {}
  assert rows.from_json({})["readings"] == {}


def test_settings_are_apart_from_scores():
  settings, scores = rows.field_names("setting"), rows.field_names("score")
  assert {"model", "dataset", "split", "steps", "init", "lr", "precision"} < set(settings)
  assert {"accuracy", "prompt_f1", "c_dist", "train_loss"} < set(scores)
  assert set(settings).isdisjoint(scores)
  assert rows.field_names("nothing") == ()


@pytest.mark.parametrize(
  ("row", "free"),
  [
    ({"gamma": 0.0, "constraint": "c-dist"}, True),
    ({"gamma": 0}, True),
    ({"gamma": 0.01}, False),
    ({"gamma": 0.01, "constraint": "c-dist"}, False),
    ({"gamma": 0.0, "constraint": "ball"}, False),
  ],
)
def test_free_is_gamma_0_of_the_papers_constraint(row, free):
  assert rows.is_free(row) is free


def test_the_table_has_a_line_for_every_field():
  heading, rule, *lines = rows.to_markdown().splitlines()
  assert heading == "| field | what it holds |"
  assert rule == "|---|---|"
  assert lines == [f"| `{field.name}` | {field.metadata['description']} |" for field in FIELDS]


def test_the_readme_has_the_table():
  assert rows.to_markdown() in README.read_text(encoding="utf-8")
