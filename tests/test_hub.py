"""The Hub's cache, the errors if the Hub cannot be asked, and wayjax's own cache."""

import types
from pathlib import Path

import huggingface_hub
import pytest
import tiny
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from wayjax import hub
from wayjax.errors import WayjaxError
from wayjax.models import load_lm


def test_a_cached_model_needs_no_network(hub_cache, lm):
  tiny.save_model(tiny.cached_repo(hub_cache, "model", "someone/tiny"))
  loaded = load_lm("someone/tiny", precision="float32")
  assert loaded.revision == tiny.COMMIT
  assert loaded.graphdef == lm.graphdef


def test_an_incomplete_copy_is_requested_again_and_used_without_network(hub_cache, monkeypatch):
  folder = tiny.cached_repo(hub_cache, "model", "someone/tiny")
  tiny.save_model(folder)
  (folder / "tokenizer.json").unlink()
  asked = []
  monkeypatch.setattr(
    huggingface_hub.HfApi, "repo_info", lambda *args, **kwargs: asked.append(args) or 1 / 0
  )
  with pytest.raises(WayjaxError, match="has no tokenizer"):
    load_lm("someone/tiny")
  assert len(asked) == 1


def test_without_network_the_alternatives_are_named(hub_cache):
  with pytest.raises(WayjaxError, match=r"not in the local cache .* --model and .* --demo"):
    hub.snapshot("someone/else", "model", None, ["*.json"], bool)
  with pytest.raises(WayjaxError, match=r"dataset .* --data-dir .* --demo"):
    hub.snapshot("someone/else", "dataset", None, ["*.json"], bool)


@pytest.mark.parametrize(
  ("error", "message"),
  [
    (RepositoryNotFoundError, "was not found on the Hub"),
    (GatedRepoError, "is gated"),
    (RevisionNotFoundError, "not this revision"),
  ],
)
def test_errors_of_the_hub_become_sentences(hub_cache, monkeypatch, error, message):
  def answer(*args, **kwargs):
    raise error("no", response=types.SimpleNamespace(headers={}, request=None))

  monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", answer)
  with pytest.raises(WayjaxError, match=message):
    hub.snapshot("someone/else", "model", "v1", ["*.json"], bool)


def test_names_that_cannot_be_hub_ids(hub_cache):
  with pytest.raises(WayjaxError, match="neither a local folder nor a name on the Hub"):
    hub.snapshot("what is this?", "model", None, ["*.json"], bool)


def test_wayjaxs_own_cache_follows_xdg(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  assert hub.user_cache() == tmp_path / "wayjax"
  monkeypatch.setenv("XDG_CACHE_HOME", "")
  assert hub.user_cache() == Path.home() / ".cache" / "wayjax"
  monkeypatch.delenv("XDG_CACHE_HOME")
  assert hub.user_cache() == Path.home() / ".cache" / "wayjax"


def test_the_cache_keeps_a_file_whole_or_not_at_all(tmp_path):
  path = tmp_path / "a" / "b"
  hub.keep(path, b"1")
  hub.keep(path, b"2")
  assert path.read_bytes() == b"2"
  (tmp_path / "c").mkdir()
  hub.keep(tmp_path / "c", b"3")  # a folder cannot be replaced by a file
  hub.keep(path / "d", b"4")  # nor is there room below a file
  assert sorted(file.name for file in tmp_path.rglob("*")) == ["a", "b", "c"]
