"""The chips that programs are compiled for, none of which need be there."""

import dataclasses

import jax

from wayjax.errors import WayjaxError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """A chip, by its maker's numbers.

  Attributes:
    platform: `tpu` or `cuda`, as JAX names it.
    memory: bytes that a program can have.
    operations: of bfloat16 products, a second, dense.
    bandwidth: of the memory, bytes a second.
    clock: cycles a second; 0 where the compiler estimates none.
    topology: the smallest slice that the compiler knows, and its chips.
    description: what XLA's compiler is told of a GPU.
  """

  platform: str
  memory: float
  operations: float
  bandwidth: float
  clock: float = 0.0
  topology: tuple[str, int] = ("", 0)
  description: str = ""

  def devices(self, count: int) -> list[jax.Device]:
    """So many described chips.

    Raises:
      WayjaxError: its compiler is not installed, or has no such slice.
    """
    from jax.experimental import topologies

    name, chips = self.topology
    if self.platform == "tpu":
      if count > chips:
        raise WayjaxError(f"--chips {count}: the slice {name} has {chips}")
      how = {"topology_name": name}
    else:
      how = {
        "topology_name": "",
        "target_config": self.description,
        "topology": f"1x1x{count}",
      }
    try:
      found = topologies.get_topology_desc(platform=self.platform, **how).devices
    except (RuntimeError, ValueError, NotImplementedError) as error:
      needed = {"tpu": "libtpu", "cuda": "jax-cuda12-plugin[with-cuda]"}[self.platform]
      raise WayjaxError(
        f"compiling for such a chip needs {needed}: pip install -e '.[aot]'"
      ) from error
    return list(found)[:count]


def _gpu(name: str, capability: tuple[int, int], bandwidth: float, memory: int, **numbers) -> str:
  """A GPU as XLA's `gpu_device_info` has it."""
  fields = {
    "threads_per_block_limit": 1024,
    "threads_per_warp": 32,
    "shared_memory_per_block": 49152,
    "threads_per_core_limit": 2048,
    "block_dim_limit_x": 2**31 - 1,
    "block_dim_limit_y": 65535,
    "block_dim_limit_z": 65535,
    "memory_bandwidth": int(bandwidth),
    "device_memory_size": memory,
    "registers_per_core_limit": 65536,
    "registers_per_block_limit": 65536,
    **numbers,
  }
  lines = [f"  {field}: {value}" for field, value in fields.items()]
  major, minor = capability
  lines.append(f"  cuda_compute_capability {{ major: {major} minor: {minor} }}")
  versions = 'driver_version: "13.0.0" runtime_version: "12.8.0" dnn_version: "9.10.0"'
  return "\n".join(
    [
      "gpu_device_info {",
      *lines,
      f'  name: "{name}" device_vendor: "NVIDIA Corporation"',
      f'  {versions} compile_time_toolkit_version: "12.8.0"',
      "}",
      'platform_name: "CUDA"',
      "dnn_version_info { major: 9 minor: 10 patch: 0 }",
      f'device_description_str: "{name}"',
    ]
  )


_H100 = {
  "core_count": 132,
  "fpus_per_core": 128,
  "l2_cache_size": 50 * 2**20,
  "clock_rate_ghz": 1.98,
  "shared_memory_per_core": 228 * 1024,
  "shared_memory_per_block_optin": 227 * 1024,
}
_A100 = {
  "core_count": 108,
  "fpus_per_core": 64,
  "l2_cache_size": 40 * 2**20,
  "clock_rate_ghz": 1.41,
  "shared_memory_per_core": 164 * 1024,
  "shared_memory_per_block_optin": 163 * 1024,
}

CHIPS = {
  # cloud.google.com/tpu/docs, and the compiler's own words for what a program can have.
  "v5e": Chip("tpu", 15.75 * GIB, 197e12, 819e9, 1.5e9, ("v5e:2x2", 4)),
  "v5p": Chip("tpu", 95 * GIB, 459e12, 2765e9, 1.75e9, ("v5p:2x2x1", 4)),
  "v6e": Chip("tpu", 31.25 * GIB, 918e12, 1640e9, 1.75e9, ("v6e:2x2", 4)),
  # The data sheets of the SXM parts; JAX gives a program what its pool has, 0.75 of it.
  "h100": Chip(
    *("cuda", 0.75 * 79.1 * GIB, 989e12, 3.35e12),
    description=_gpu("NVIDIA H100 80GB HBM3", (9, 0), 3.35e12, 84942979072, **_H100),
  ),
  "a100": Chip(
    *("cuda", 0.75 * 79.1 * GIB, 312e12, 2.04e12),
    description=_gpu("NVIDIA A100-SXM4-80GB", (8, 0), 2.04e12, 85097971712, **_A100),
  ),
}
