"""The built-in tasks, and tasks from a TOML file."""

import os
import time

import pytest

from wayjax.data.tasks import TASKS, get_task, read_task_file
from wayjax.errors import WayjaxError

GOOD = 'template = "It is %s ."\nlabel_words = ["bad", "good"]\n'


def test_the_five_tasks_have_one_class_name_per_label_word():
  assert list(TASKS) == ["sst2", "sst5", "agnews", "trec", "subj"]
  for task in TASKS.values():
    assert len(task.label_words) == len(task.class_names) == len(set(task.label_words))
    assert task.template.count("%s") == 1
    assert task.max_length == (256 if task.name in ("agnews", "subj") else 128)
  assert TASKS["sst2"].fill() == [" It was terrible .", " It was great ."]
  assert TASKS["agnews"].fill()[3] == " Subject: Technology."


def test_an_unknown_dataset_is_refused_with_the_choices():
  with pytest.raises(WayjaxError, match="unknown dataset 'imdb': choose one of sst2, sst5"):
    get_task("imdb")


def test_a_task_file(tmp_path):
  path = tmp_path / "mine.toml"
  path.write_text(GOOD)
  task = read_task_file(path)
  assert task.name == "mine"
  assert task.fill() == [" It is bad .", " It is good ."]
  assert task.class_names == ("bad", "good")
  assert task.max_length == 128
  path.write_text(GOOD + 'name = "other"\nclass_names = ["n", "p"]\nmax_length = 64\n')
  task = read_task_file(path)
  assert (task.name, task.class_names, task.max_length) == ("other", ("n", "p"), 64)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("template = ", "cannot be read"),
    ('template = "%s"', "'label_words' is missing"),
    ('label_words = ["a", "b"]', "'template' is missing"),
    (GOOD + "colour = 1", "unknown field colour"),
    (GOOD.replace("%s", ""), "contains %s once"),
    (GOOD.replace("%s", "%s %s"), "contains %s once"),
    (GOOD.replace('"bad", ', ""), "two or more different strings"),
    (GOOD.replace("bad", "good"), "two or more different strings"),
    (GOOD.replace('"bad"', "1"), "two or more different strings"),
    (GOOD + 'class_names = ["one"]', "one for each label word"),
    (GOOD + "max_length = 16", "above 16"),
    (GOOD + 'name = "a/b"', "a string without slashes"),
    (GOOD.replace('"bad"', '" good "'), "two or more different strings"),
    (GOOD + 'class_names = ["n", " n"]', "one for each label word"),
    (GOOD + 'class_names = ["good", "bad"]', "'good' names one class .* and another"),
  ],
)
def test_a_wrong_task_file_is_refused_with_the_reason(tmp_path, content, message):
  path = tmp_path / "mine.toml"
  path.write_text(content)
  with pytest.raises(WayjaxError, match=message) as error:
    read_task_file(path)
  assert str(path) in str(error.value)


def test_a_task_file_may_name_its_columns(tmp_path):
  path = tmp_path / "nli.toml"
  path.write_text('template = "{a} so {b} ? {label}"\nlabel_words = ["yes", "no"]\n')
  task = read_task_file(path)
  assert task.columns == ("a", "b", "label")
  assert task.fill() == [" yes", " no"]
  assert not task.is_plain
  assert task.answer is None


def test_a_task_file_may_have_free_text_answers(tmp_path):
  path = tmp_path / "qa.toml"
  for template, columns in (("{q} A: {gold}", ("q", "gold")), ("A: %s", ("text", "gold"))):
    path.write_text(f'template = "{template}"\nanswer = "gold"\nmax_length = 40\n')
    task = read_task_file(path)
    assert task.columns == columns
    assert (task.answer, task.label_words, task.class_names) == ("gold", (), ())
    assert task.max_length == 40


NAMED = 'template = "{a} {label}"\nlabel_words = ["yes", "no"]\n'
FREE = 'template = "{a} {gold}"\nanswer = "gold"\n'


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (NAMED.replace("{label}", "{b}"), "contains %s once, or {label}, where the label word goes"),
    (NAMED.replace("{a} {label}", "{label} {a}"), "has {a} after {label}"),
    (NAMED.replace("{a}", "{}"), "not just the name of a column"),
    (NAMED.replace("{a}", "{a"), "'template' cannot be read|not just the name"),
    (FREE.replace("{gold}", "{label}"), "or {gold}, where the answer goes"),
    (FREE + 'label_words = ["a", "b"]', "'label_words' and 'answer' exclude each other"),
    (FREE + 'class_names = ["a", "b"]', "'class_names' goes with 'label_words'"),
    (FREE.replace('"gold"', '" "'), "'answer' must be the name of a column"),
    (FREE.replace('answer = "gold"', "answer = 3"), "'answer' must be the name of a column"),
    (
      'template = "%s"\nanswer = "text"',
      "'answer' is the column 'text', which is part of the input",
    ),
    (FREE + "max_length = true", "above 16"),
    ("template = 3\nanswer = 'x'", "'template' must be a string"),
  ],
)
def test_a_wrong_template_is_refused_with_the_reason(tmp_path, content, message):
  test_a_wrong_task_file_is_refused_with_the_reason(tmp_path, content, message)


def test_a_missing_task_file(tmp_path):
  with pytest.raises(WayjaxError, match="cannot be read"):
    read_task_file(tmp_path / "none.toml")


def test_a_task_with_very_many_classes_is_read_quickly(tmp_path):
  words = [f'"{i}"' for i in range(50_000)]
  path = tmp_path / "mine.toml"
  path.write_text(f'template = "%s"\nlabel_words = [{", ".join(words)}]\n')
  began = time.process_time()
  assert len(read_task_file(path).label_words) == len(words)
  assert time.process_time() - began < 10


def test_a_task_file_may_begin_with_a_byte_order_mark(tmp_path):
  path = tmp_path / "mine.toml"
  path.write_text(GOOD, encoding="utf-8-sig")
  assert read_task_file(path).label_words == ("bad", "good")


def test_a_task_file_that_is_a_pipe_or_of_another_encoding_is_refused_at_once(tmp_path):
  path = tmp_path / "mine.toml"
  os.mkfifo(path)
  with pytest.raises(WayjaxError, match=r"task file .* it is not a regular file"):
    read_task_file(path)
  path.unlink()
  path.write_text(GOOD, encoding="utf-16")
  with pytest.raises(WayjaxError, match=r"task file .* it is UTF-16, not UTF-8"):
    read_task_file(path)
