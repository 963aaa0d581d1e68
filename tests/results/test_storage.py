"""The run folder in a file system and on gs://, where nothing can be appended to."""

import contextlib

import bucket
import fsspec
import numpy as np
import pytest

from wayjax.errors import WayjaxError
from wayjax.results.folder import read_run
from wayjax.results.rows import from_json
from wayjax.results.storage import open_files
from wayjax.results.writer import RunWriter


@pytest.fixture
def store(monkeypatch):
  return bucket.install(monkeypatch)


@pytest.fixture(params=["file system", "gs://"])
def place(request, tmp_path, store):
  return tmp_path / "run" if request.param == "file system" else "gs://bucket/runs/one"


def prompt(value):
  return np.full((2, 3), value, np.float32)


def record(key, step):
  return {"prompt_key": key, "step": step}


@contextlib.contextmanager
def resume(path, caplog):
  """Resumes a folder of which nothing was cut off, and so without a warning."""
  with RunWriter.resume(path) as writer:
    assert not caplog.records
    yield writer


def test_both_keep_what_is_added_and_forget_what_is_to_be(place, caplog):
  with RunWriter.begin(place) as writer:
    writer.write_config({"steps": 3})
    writer.write_decisions([{"padded": 8}])
    for i in range(12):  # more than ten, so that an order of names would show
      writer.append_metrics([record("a", i), record("b", i)])
    writer.append_rows([{"prompt_key": "a"}], {"a": prompt(1)})
  with resume(place, caplog) as again:
    again.forget_metrics(["b"], 4)
    again.append_metrics([record("b", 5)])
    again.append_rows([{"prompt_key": "a"}, {"prompt_key": "b"}], {"b": prompt(2)})
  run = read_run(place)
  assert run.config == {"steps": 3}
  assert run.decisions() == [{"padded": 8}]
  assert run.rows == [from_json({"prompt_key": key}) for key in "ab"]
  assert [at["step"] for at in run.metrics if at["prompt_key"] == "a"] == [*range(12)]
  assert [at["step"] for at in run.metrics if at["prompt_key"] == "b"] == [*range(6)]
  np.testing.assert_array_equal(run.prompt("a").vectors_PxD, prompt(1))
  np.testing.assert_array_equal(run.prompt("b").vectors_PxD, prompt(2))
  with pytest.raises(WayjaxError, match="is not empty"):
    RunWriter.begin(place)


def test_an_object_for_each_addition_merged_on_reading_here_or_copied(store, tmp_path, caplog):
  with RunWriter.begin("gs://bucket/run/") as writer:
    writer.write_config({})
    writer.append_rows([{"prompt_key": "a"}, {"prompt_key": "b"}], {"a": prompt(1), "b": prompt(2)})
  with resume("gs://bucket/run", caplog) as writer:
    writer.append_rows([{"prompt_key": "c"}], {"c": prompt(3)})
  assert [path for path in sorted(store.objects()) if "results" in path] == [
    "bucket/run/results-00000.jsonl",
    "bucket/run/results-00001.jsonl",
  ]
  for path, content in store.objects().items():
    (tmp_path / path.rsplit("/", 1)[-1]).write_bytes(content)
  with resume(tmp_path, caplog) as writer:
    writer.append_rows([{"prompt_key": "d"}], {"d": prompt(4)})
  run = read_run(tmp_path)
  assert [row["prompt_key"] for row in run.rows] == ["a", "b", "c", "d"]
  np.testing.assert_array_equal(run.prompt("c").vectors_PxD, prompt(3))


def test_a_store_that_fails_is_one_sentence(store, monkeypatch):
  writer = RunWriter.begin("gs://bucket/run")
  writer.write_config({})

  class HttpError(Exception):  # gcsfs's own is not an OSError
    pass

  def fail(*args, **options):
    raise HttpError("403: no permission\nand much more")

  with monkeypatch.context() as patch:
    patch.setattr(store, "pipe_file", fail)
    with pytest.raises(WayjaxError, match=r"gs://bucket/run cannot be written to \(403: no perm"):
      writer.append_metrics([record("a", 1)])
  with monkeypatch.context() as patch:
    patch.setattr(store, "ls", fail)
    with pytest.raises(WayjaxError, match=r"gs://bucket/run/config.json cannot be read: 403"):
      read_run("gs://bucket/run")
  assert read_run("gs://bucket/run").metrics == []
  with pytest.raises(WayjaxError, match="gs://bucket/other is not a run folder"):
    read_run("gs://bucket/other")


def test_without_gcsfs_it_is_named(monkeypatch):
  def missing(*args, **options):
    raise ImportError("Please install gcsfs")

  monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
  with pytest.raises(WayjaxError, match=r"pip install 'wayjax\[gcs\]'"):
    open_files("gs://bucket/run")
