"""Cached files: snapshots of Hugging Face Hub repositories, and wayjax's own cache folder."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import (
  GatedRepoError,
  HFValidationError,
  LocalEntryNotFoundError,
  RepositoryNotFoundError,
  RevisionNotFoundError,
)

from wayjax.errors import WayjaxError, reason
from wayjax.files import replacing

_ANSWER_SECONDS = 4.0


def user_cache() -> Path:
  """wayjax's own cache folder: `$XDG_CACHE_HOME/wayjax` or `~/.cache/wayjax`."""
  try:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wayjax"
  except RuntimeError:  # a user without a home, as in some containers
    return Path(os.devnull) / "wayjax"  # where nothing can be kept


def keep(path: Path, content: bytes) -> None:
  """Writes a file of the cache, whole or not at all; without a cache nothing is kept."""
  with contextlib.suppress(OSError):
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
      partial.write_bytes(content)


def snapshot(
  repo_id: str,
  kind: str,
  revision: str | None,
  patterns: list[str],
  is_complete: Callable[[Path], bool],
) -> Path:
  """The folder of a repository's files, which are downloaded unless all are cached.

  Args:
    repo_id: repository on the Hub, such as `openai-community/gpt2`.
    kind: `model` or `dataset`.
    revision: branch, tag or commit; None means `main`.
    patterns: glob patterns of the files wanted; never pickle, never code.
    is_complete: whether a cached folder has everything needed; if not, the Hub is asked.

  Returns:
    The snapshot's folder, whose name is the commit.

  Raises:
    WayjaxError: no such repository or revision, no access, no network, or nothing safe to load.
  """
  where = f"{kind} '{repo_id}'" + (f" at revision '{revision}'" if revision else "")
  wanted = {"repo_id": repo_id, "repo_type": kind, "revision": revision, "allow_patterns": patterns}
  cached = None
  with contextlib.suppress(LocalEntryNotFoundError, HFValidationError):
    cached = Path(huggingface_hub.snapshot_download(**wanted, local_files_only=True))
    if is_complete(cached):
      return cached
  try:
    # A short request first: a download would retry for half a minute before giving up.
    huggingface_hub.HfApi().repo_info(
      repo_id, repo_type=kind, revision=revision, timeout=_ANSWER_SECONDS
    )
    return Path(huggingface_hub.snapshot_download(**wanted))
  except HFValidationError as error:
    raise WayjaxError(f"{where} is neither a local folder nor a name on the Hub") from error
  except GatedRepoError as error:
    raise WayjaxError(
      f"{where} is gated: accept its terms on the Hub and log in with `hf auth login`"
    ) from error
  except RevisionNotFoundError as error:
    raise WayjaxError(f"{where}: the Hub has the {kind} but not this revision") from error
  except RepositoryNotFoundError as error:
    raise WayjaxError(
      f"{where} was not found on the Hub and is not a local folder: check the spelling, or log in "
      "with `hf auth login` if it is private"
    ) from error
  except Exception as error:  # the client raises its HTTP library's errors, which vary
    if cached is not None:
      return cached  # whatever it lacks is reported when it is read
    raise WayjaxError(
      f"{where} is not in the local cache and the Hub cannot be reached ({reason(error)}): "
      "connect to the network, or use --model and --data-dir with local folders, or --demo for a "
      "first look"
    ) from error
