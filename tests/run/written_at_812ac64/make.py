"""cd CHECKOUT_OF_812AC64 && python .../make.py: the two run folders beside this file, made anew.

All paths are relative to a folder of their own, so that none of this machine is written down.
"""

import os

# As the tests compute: a checkpoint holds as many members as there are devices, or a multiple.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

HERE, CHECKOUT = Path(__file__).resolve().parent, Path.cwd()
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests")]

import tiny  # noqa: E402

from wayjax import results, run  # noqa: E402

OPTIONS = [
  "--dataset", "sst2", "--data-dir", "data", "--model", "model", "--seeds", "1", "10",
  "--steps", "60", "--precision", "float32", "--members-at-once", "2", "--checkpoint-every", "0",
  "--eval-every", "30", "--target", "read me", "--target", "or this one, a long one",
]  # fmt: skip
CUT_AT = 6  # the second chunk's step 30; its step 20 is in a checkpoint


class Cut(BaseException):
  """Ends a run as a kill would."""


def cut_off(out: str) -> None:
  append, calls = results.RunWriter.append_metrics, []

  def counted(writer, records):
    append(writer, records)
    calls.append(1)
    if len(calls) == CUT_AT:
      raise Cut

  results.RunWriter.append_metrics = counted
  with contextlib.suppress(Cut):
    run.main([*OPTIONS, "--out", out])
  results.RunWriter.append_metrics = append


def main() -> None:
  with tempfile.TemporaryDirectory() as scratch:
    os.chdir(scratch)
    tiny.save_model(Path("model"))
    Path("data").mkdir()
    tiny.save_rows(Path("data"))
    assert run.main([*OPTIONS, "--out", "finished"]) == 0
    cut_off("unfinished")
    shutil.rmtree("finished/checkpoints")  # of no use to a finished run
    newest = max(Path("unfinished/checkpoints").iterdir(), key=lambda path: int(path.name))
    for path in Path("unfinished/checkpoints").iterdir():
      if path != newest:
        shutil.rmtree(path)
    for path in newest.rglob("commit_success.txt"):  # the only whole path, which nothing reads
      path.write_text(path.read_text().replace(f"{scratch}/", ""))
    for name in ("finished", "unfinished"):
      shutil.rmtree(HERE / name, ignore_errors=True)
      shutil.copytree(name, HERE / name)


if __name__ == "__main__":
  main()
