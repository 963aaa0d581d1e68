"""Checkpoints that earlier versions wrote with Orbax: found and read, never written or deleted."""

import json
import logging
import os
import zlib
from typing import NamedTuple

import fsspec
import jax
import numpy as np

from wayjax.devices.sharding import fetch
from wayjax.errors import WayjaxError, reason

_log = logging.getLogger("wayjax")


class _Losses(NamedTuple):
  """The losses that those versions knew."""

  cross_entropy: np.ndarray
  c_dist: np.ndarray


def restore(folder: str, like, *, members: list[str], size: int) -> tuple[object, int] | None:
  """The newest of these checkpoints that is of a state.

  Args:
    folder: where they are, a folder or gs://BUCKET/FOLDER.
    like: the state of a chunk before its first step; shapes, types and where the arrays lie.
    members: what the state is of.
    size: the length of its leading axis.

  Returns:
    The state and the steps that it has done; None where there is none. NumPy's arrays in the state
    may be written to.

  Raises:
    WayjaxError: one cannot be read.
  """
  files, root = fsspec.core.url_to_fs(folder)
  where = folder if "://" in folder else os.path.abspath(folder)  # Orbax takes no relative path
  path = where
  try:
    entries = files.ls(root, detail=False) if files.exists(root) else []  # on gs:// it may be new
    names = [entry.rsplit("/", 1)[-1] for entry in entries]
    for number in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
      path = f"{where}/{number}"
      content = files.cat_file(f"{root}/{number}/_CHECKPOINT_METADATA")
      metadata = json.loads(content)["custom_metadata"]
      if metadata["members"] != members:
        continue
      if metadata["size"] != size:
        _log.warning(
          "checkpoint %s was made on another number of devices: its members start again", path
        )
        continue
      state = _load(path, like)
      if _checksum(state) == metadata["checksum"]:
        return state, metadata["step"]
      _log.warning(
        "checkpoint %s is damaged (its checksum does not match): the one before it is used", path
      )
  except Exception as error:  # whatever Orbax raises for what it cannot read
    raise WayjaxError(
      f"checkpoint {path} cannot be read ({reason(error)}); nothing is lost: resume when it can be "
      "read, or delete it, and its members train again from the checkpoint before or from their "
      "start"
    ) from error
  return None


def _load(path: str, like):
  from orbax.checkpoint import v1 as ocp  # imported here: it takes long, and few need it

  losses = like.losses_MxT
  like = like._replace(losses_MxT=_Losses(losses.cross_entropy, losses.c_dist))
  state = ocp.load_checkpointables(path, {"state": like})["state"]
  state = state._replace(losses_MxT=type(losses)(*state.losses_MxT))
  return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else np.array(x), state)


def _checksum(state) -> int:
  """CRC-32 of all numbers."""
  checksum = 0
  for array in jax.tree.leaves(fetch(state)):
    checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
  return checksum
