"""Target prompts: the paper's groups, files and literal texts."""

import hashlib
import http.client
import io
import json
import os
import urllib.request

import pytest

from wayjax.data import targets
from wayjax.data.targets import Target, load_targets, task_described
from wayjax.data.tasks import TASKS, Task
from wayjax.errors import WayjaxError

SST2 = TASKS["sst2"]


@pytest.fixture
def released(tmp_path):
  """A folder with files named as the paper's."""
  files = {
    "natural_prompts.json": {"n1": "Do this.", "n2": "Do that."},
    "pile_n=4.json": {"prompt00": "four tokens"},
    "good_prompts.json": {"SST-2_0": "The mood?", "trec_0": "The topic?", "SST-2_1": "Feeling?"},
  }
  for name, content in files.items():
    (tmp_path / name).write_text(json.dumps(content))
  return tmp_path


def test_groups_from_a_folder(released):
  found = load_targets(SST2, groups=("ni", "pile-4"), targets_dir=released)
  assert found == [
    Target("ni", "n1", "Do this."),
    Target("ni", "n2", "Do that."),
    Target("pile-4", "prompt00", "four tokens"),
  ]
  assert len(load_targets(SST2, groups=("ni",), targets_dir=released, max_targets=1)) == 1


def test_true_means_this_tasks_descriptions(released):
  found = load_targets(SST2, groups=("true",), targets_dir=released)
  assert [target.name for target in found] == ["SST-2_0", "SST-2_1"]
  own = Task("mine", "%s", ("a", "b"), ("a", "b"))
  with pytest.raises(WayjaxError, match="no descriptions of the task 'mine'"):
    load_targets(own, groups=("true",), targets_dir=released)


def test_other_means_the_other_tasks_descriptions(released):
  names = json.loads((released / "good_prompts.json").read_text())
  found = load_targets(SST2, groups=("other",), targets_dir=released)
  others = [name for name in names if not name.startswith("SST-2_")]
  assert others
  assert sorted(target.name for target in found) == sorted(others)
  own = Task("mine", "%s", ("a", "b"), ("a", "b"))
  assert len(load_targets(own, groups=("other",), targets_dir=released)) == len(names)


def test_the_first_few_others_are_of_many_tasks(released):
  found = load_targets(TASKS["subj"], groups=("other",), targets_dir=released)
  assert [target.name for target in found] == ["SST-2_0", "trec_0", "SST-2_1"]
  described = [
    task_described(target.group, target.name)
    for target in load_targets(SST2, groups=("demo-other",), max_targets=4)
  ]
  assert set(described) == TASKS.keys() - {"sst2"}


def test_other_of_the_demo_are_its_true_ones_of_the_other_tasks():
  found = {target.name: target.text for target in load_targets(SST2, groups=("demo-other",))}
  for name, task in TASKS.items():
    own = {f"{name}_{t.name}": t.text for t in load_targets(task, groups=("demo-true",))}
    assert own.items().isdisjoint(found.items()) == (name == "sst2")
    assert own.keys().isdisjoint(found) == (name == "sst2")


def test_a_description_of_another_task_tells_which(released):
  found = [
    *load_targets(SST2, groups=("other",), targets_dir=released),
    *load_targets(TASKS["trec"], groups=("other",), targets_dir=released),
    *load_targets(SST2, groups=("demo-other",))[:2],
  ]
  told = [task_described(target.group, target.name) for target in found]
  assert told == ["trec", "sst2", "sst2", "sst5", "agnews"]
  assert task_described("true", "trec_0") is None
  assert task_described("demo", "true") is None
  assert task_described("other", "mine_0") is None


def test_literal_texts():
  assert load_targets(SST2, texts=("x", "y")) == [
    Target("text", "text-1", "x"),
    Target("text", "text-2", "y"),
  ]


@pytest.mark.parametrize(
  ("content", "expected"),
  [
    (b"first\n\nthird line\n", {"line-1": "first", "line-3": "third line"}),
    (b"[contents]\nmore\n", {"line-1": "[contents]", "line-2": "more"}),
    (b'{"a": "text\\nof two lines"}', {"a": "text\nof two lines"}),
    (b"{name} was born here.\nmore\n", {"line-1": "{name} was born here.", "line-2": "more"}),
    (b"{} again\n", {"line-1": "{} again"}),
    (b"first\r\nsecond", {"line-1": "first", "line-2": "second"}),
    (b'\xef\xbb\xbf{"a": "x"}', {"a": "x"}),  # a byte order mark is not part of the text
  ],
)
def test_files(tmp_path, content, expected):
  path = tmp_path / "file"
  path.write_bytes(content)
  assert load_targets(SST2, file=path) == [
    Target("file", name, text) for name, text in expected.items()
  ]


@pytest.mark.parametrize(
  "inside", ["\u2028", "\u2029", "\x85", "\f", "\v", "\r", "\x1c", "\x1d", "\x1e"]
)
def test_a_targets_file_is_split_at_line_feeds_alone(tmp_path, inside):
  path = tmp_path / "file"
  path.write_bytes(f"one{inside}two\nthree\n".encode())
  assert [target.text for target in load_targets(SST2, file=path)] == [f"one{inside}two", "three"]


def test_a_text_that_is_given_twice_would_count_twice(tmp_path):
  with pytest.raises(WayjaxError, match="'text-1' and 'text-3' are the same text: give it once"):
    load_targets(SST2, texts=("x", "y", "x"))
  path = tmp_path / "file"
  path.write_text("x\n\nx\n")
  with pytest.raises(WayjaxError, match="'line-1' and 'line-3' are the same text: give it once"):
    load_targets(SST2, file=path)
  path.write_text('{"a": "x", "b": "x"}')  # someone gave these names
  assert len(load_targets(SST2, file=path)) == 2


def test_targets_without_end_are_refused_before_they_are_tokenised(tmp_path):
  path = tmp_path / "file"
  path.write_text("x" * 1_000_001)
  with pytest.raises(WayjaxError, match=r"target 'line-1' .* more than 1,000,000 characters"):
    load_targets(SST2, file=path)
  path.write_text("\n".join(map(str, range(100_001))))
  with pytest.raises(WayjaxError, match="more than 100,000 targets: use --max-targets"):
    load_targets(SST2, file=path)
  assert len(load_targets(SST2, file=path, max_targets=3)) == 3


@pytest.mark.parametrize("option", ["file", "targets_dir"])
def test_targets_from_a_pipe_or_of_another_encoding_are_refused_at_once(tmp_path, option):
  path = tmp_path / "natural_prompts.json"
  given = {"file": path} if option == "file" else {"groups": ("ni",), "targets_dir": tmp_path}
  os.mkfifo(path)
  with pytest.raises(WayjaxError, match=r"targets file .* it is not a regular file"):
    load_targets(SST2, **given)
  path.unlink()
  path.write_text('{"a": "x"}', encoding="utf-16")
  with pytest.raises(WayjaxError, match=r"targets file .* it is UTF-16, not UTF-8"):
    load_targets(SST2, **given)
  with path.open("wb") as file:
    file.truncate(2**40)
  with pytest.raises(WayjaxError, match=r"targets file .* it has more than 16 MiB"):
    load_targets(SST2, **given)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"groups": ("nix",)}, "unknown target group 'nix': choose from ni, pile"),
    ({"texts": ("",)}, "target 'text-1' .* is empty"),
    ({"texts": ("fine", " \n")}, "target 'text-2' .* is empty"),
    ({"file": "/nowhere/file"}, "/nowhere/file cannot be read"),
    ({"groups": ("ni",), "targets_dir": "/nowhere"}, "natural_prompts.json, which does not"),
    ({}, "there are no targets"),
  ],
)
def test_wrong_options_are_refused_with_the_reason(options, message):
  with pytest.raises(WayjaxError, match=message):
    load_targets(SST2, **options)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b'{"broken', "cannot be read as JSON"),
    (b' { "a": "x",\n "b" "y"}', "cannot be read as JSON"),
    (b'{"a": 1}', "names to texts"),
    (b"\xff\xfe\xff", "not UTF-8"),
    (b"\n\n", "no targets"),
    (b'["a", "b"]', "names to texts"),
    (b'{"a": "x", "a": "y"}', "the name 'a' occurs twice"),
    (b'{"a": "\\ud800"}', "not valid Unicode"),
  ],
)
def test_broken_files(tmp_path, content, message):
  path = tmp_path / "file"
  path.write_bytes(content)
  with pytest.raises(WayjaxError, match=message):
    load_targets(SST2, file=path)


class TestFetching:
  CONTENT = b'{"n1": "Do this."}'

  @pytest.fixture(autouse=True)
  def empty_cache(self, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    self.asked = []

  def serve(self, monkeypatch, content, sha256=None):
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(targets.GROUPS, "ni", ("natural_prompts.json", sha256))

    def urlopen(url, timeout):
      self.asked.append(url)
      return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)

  def test_a_group_is_fetched_once_from_the_pinned_commit(self, monkeypatch):
    self.serve(monkeypatch, self.CONTENT)
    for _ in range(2):
      assert load_targets(SST2, groups=("ni",)) == [Target("ni", "n1", "Do this.")]
    assert len(self.asked) == 1
    assert "aa047d672984926e08390253bfebd9796780b1e7/prompts/natural_prompts.json" in self.asked[0]

  def test_a_changed_file_is_refused_and_not_cached(self, monkeypatch):
    self.serve(monkeypatch, self.CONTENT, sha256="0" * 64)
    for _ in range(2):
      with pytest.raises(WayjaxError, match="expected sha256"):
        load_targets(SST2, groups=("ni",))
    assert len(self.asked) == 2

  def test_a_damaged_cache_is_fetched_again(self, monkeypatch, tmp_path):
    self.serve(monkeypatch, self.CONTENT)
    load_targets(SST2, groups=("ni",))
    (cached,) = tmp_path.rglob("natural_prompts.json")
    cached.write_bytes(b"{}")
    assert len(load_targets(SST2, groups=("ni",))) == 1
    assert len(self.asked) == 2

  def test_without_a_cache_it_still_works(self, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    self.serve(monkeypatch, self.CONTENT)
    assert len(load_targets(SST2, groups=("ni",))) == 1

  def test_a_truncated_answer_is_one_sentence(self, monkeypatch):
    def urlopen(url, timeout):
      raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(WayjaxError, match="cannot be reached"):
      load_targets(SST2, groups=("ni",))

  def test_without_network_the_alternatives_are_named(self):
    with pytest.raises(WayjaxError, match=r"cannot be reached .* --targets-dir .* your own"):
      load_targets(SST2, groups=("ni",))


def test_the_papers_files_have_the_expected_hashes(shared):
  for name, sha256 in targets.GROUPS.values():
    content = (shared / "data" / "prompts" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256


@pytest.mark.parametrize(
  ("group", "count"), [("ni", 32), ("pile", 30), ("pile-4", 30), ("true", 5)]
)
def test_the_papers_groups(shared, group, count):
  found = load_targets(SST2, groups=(group,), targets_dir=shared / "data" / "prompts")
  assert len(found) == count
