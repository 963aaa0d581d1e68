"""What the benchmark runs on: its name, its matrix units, and how fast it multiplies matrices."""

import json
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

MATRIX_UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
SHAPES = ((1024, 768, 3072), (1024, 3072, 768), (4096, 1280, 5120))
REPEATS = 5


def describe(device: str) -> dict:
  """The device, the machine's processor with its vector and matrix units, and versions."""
  model, flags = platform.processor() or platform.machine(), set()
  if Path("/proc/cpuinfo").exists():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    model = named.get("model name", model)
    flags = set(named.get("flags", named.get("Features", "")).split())
  packages = ("jax", "jaxlib", "flax", "torch", "transformers", "peft")
  return {
    "device": device,
    "accelerator": None if device == "cpu" else jax.devices()[0].device_kind,
    "processor": model,
    "cores": os.cpu_count(),
    "matrix_units": [name for name in MATRIX_UNITS if name in flags],
    "versions": {
      "python": platform.python_version(),
      **{name: _version(name) for name in packages},
    },
  }


def _version(package: str) -> str | None:
  """What is installed; --scaling needs no peers."""
  try:
    return metadata.version(package)
  except metadata.PackageNotFoundError:
    return None


def matmul_rates() -> dict[str, float]:
  """Operations a second of the largest products, sums in float32: the best shape's median."""
  rates = {}
  for name, dtype in (("f32", jnp.float32), ("bf16", jnp.bfloat16)):
    precision = lax.Precision.HIGHEST if dtype == jnp.float32 else lax.Precision.DEFAULT

    @jax.jit
    def multiply(a, b, precision=precision):
      return jnp.matmul(a, b, precision=precision, preferred_element_type=jnp.float32)

    rates[name] = 0.0
    for rows, inner, columns in SHAPES:
      a, b = jnp.ones((rows, inner), dtype), jnp.ones((inner, columns), dtype)
      multiply(a, b).block_until_ready()
      seconds = []
      for _ in range(REPEATS):
        started = time.perf_counter()
        multiply(a, b).block_until_ready()
        seconds.append(time.perf_counter() - started)
      rates[name] = max(rates[name], 2 * rows * inner * columns / float(np.median(seconds)))
  return rates


if __name__ == "__main__":
  from wayjax.devices import select

  select.select_device(sys.argv[1])
  result = describe(sys.argv[1]) | {"matmul_operations_per_second": matmul_rates()}
  Path(sys.argv[2]).write_text(json.dumps(result))
