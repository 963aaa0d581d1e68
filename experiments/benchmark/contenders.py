"""The contenders; run as a module it measures one of them, in a process of its own."""

import argparse
import importlib
import json
import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

MEMBERS = (1, 4, 16)
RELEASED, PEFT, PACKED = "released protocol", "PEFT", "packed PyTorch"

# name -> module with `measure`, and its options
CONTENDERS: dict[str, tuple[str, dict]] = {
  f"{RELEASED}, f32": ("released", {}),
  f"{PEFT}, f32": ("peft_tuning", {"autocast": False}),
  f"{PEFT}, fused GELU, f32": ("peft_tuning", {"autocast": False, "fused_gelu": True}),
  f"{PEFT}, bf16": ("peft_tuning", {"autocast": True}),
  **{f"{PACKED}, f32, M = {members}": ("packed_torch", {"members": members}) for members in (1, 4)},
  **{
    f"wayjax, {short}, M = {members}": (
      "wayjax_sweep",
      {"precision": precision, "members": members},
    )
    for short, precision in (("f32", "float32"), ("bf16", "bfloat16"))
    for members in MEMBERS
  },
}


def main() -> None:
  """Measures one contender on one dataset and writes the result as JSON."""
  parser = argparse.ArgumentParser()
  parser.add_argument("name")
  parser.add_argument("dataset")
  parser.add_argument("device")
  parser.add_argument("folder", type=Path)
  parser.add_argument("result", type=Path)
  args = parser.parse_args()
  module, options = CONTENDERS[args.name]
  if module == "wayjax_sweep":
    import jax

    # Empty at first, so that compile times mean something.
    jax.config.update("jax_compilation_cache_dir", str(args.result.with_suffix(".cache")))
  from experiments.benchmark.work import Work

  contender = importlib.import_module(f"experiments.benchmark.{module}")
  # All contenders import at once; then one is measured at a time.
  print("ready", flush=True)
  sys.stdin.readline()
  arguments = (Work.read(args.folder), args.dataset, args.device)
  if module != "wayjax_sweep":
    result = contender.measure(*arguments, **options)
  else:
    # The second run is a new process, and so is the first; nothing computes yet, so that may be a
    # fork, which need not import again.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as before:
      first = before.submit(contender.compile_seconds, *arguments, **options).result()
    result = contender.measure(*arguments, **options)
    result["recompile_seconds"] = result["compile_seconds"]
    result["compile_seconds"] = first
  result["peak_bytes"] = _peak_bytes(args.device, module)
  args.result.write_text(json.dumps(result))


def resident_bytes(usage: resource.struct_rusage) -> int:
  """The most memory of the machine that a process held at a time."""
  return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak_bytes(device: str, module: str) -> int:
  """The most memory that the process held: of the GPU, or of the machine where there is none."""
  if device != "gpu":
    return resident_bytes(resource.getrusage(resource.RUSAGE_SELF))
  if module == "wayjax_sweep":
    import jax

    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
  import torch

  return torch.cuda.max_memory_allocated()


if __name__ == "__main__":
  main()
