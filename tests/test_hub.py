"""The Hub's cache, and what is said where the Hub cannot be asked."""

import types

import huggingface_hub
import pytest
import tiny
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from wayjax import hub
from wayjax.errors import WayjaxError
from wayjax.models import load_lm

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """An empty Hub cache."""
  monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
  return tmp_path


def cached_repo(cache, kind, repo_id):
  """A repository in the cache, as a download leaves it; returns the snapshot's folder."""
  repo = cache / f"{kind}s--{repo_id.replace('/', '--')}"
  (repo / "refs").mkdir(parents=True)
  (repo / "refs" / "main").write_text(COMMIT)
  folder = repo / "snapshots" / COMMIT
  folder.mkdir(parents=True)
  return folder


def test_a_cached_model_needs_no_network(cache, lm):
  tiny.save_model(cached_repo(cache, "model", "someone/tiny"))
  loaded = load_lm("someone/tiny", precision="float32")
  assert loaded.revision == COMMIT
  assert loaded.graphdef == lm.graphdef


def test_an_incomplete_copy_is_asked_for_again_and_used_without_network(cache, monkeypatch):
  folder = cached_repo(cache, "model", "someone/tiny")
  tiny.save_model(folder)
  (folder / "tokenizer.json").unlink()
  asked = []
  monkeypatch.setattr(
    huggingface_hub.HfApi, "repo_info", lambda *args, **kwargs: asked.append(args) or 1 / 0
  )
  with pytest.raises(WayjaxError, match="has no tokenizer"):
    load_lm("someone/tiny")
  assert len(asked) == 1


def test_without_network_the_ways_on_are_named(cache):
  with pytest.raises(WayjaxError, match=r"not in the local cache .* --model with a local folder"):
    hub.snapshot("someone/else", "model", None, ["*.json"], bool)
  with pytest.raises(WayjaxError, match=r"dataset .* --data-dir with a local folder"):
    hub.snapshot("someone/else", "dataset", None, ["*.json"], bool)


@pytest.mark.parametrize(
  ("error", "message"),
  [
    (RepositoryNotFoundError, "was not found on the Hub"),
    (GatedRepoError, "is gated"),
    (RevisionNotFoundError, "not this revision"),
  ],
)
def test_answers_of_the_hub_become_sentences(cache, monkeypatch, error, message):
  def answer(*args, **kwargs):
    raise error("no", response=types.SimpleNamespace(headers={}, request=None))

  monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", answer)
  with pytest.raises(WayjaxError, match=message):
    hub.snapshot("someone/else", "model", "v1", ["*.json"], bool)


def test_names_that_cannot_be_hub_ids(cache):
  with pytest.raises(WayjaxError, match="neither a local folder nor a name on the Hub"):
    hub.snapshot("what is this?", "model", None, ["*.json"], bool)
