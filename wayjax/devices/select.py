"""The device a run computes on: which one, at what precision, with how much memory."""

import contextlib
from pathlib import Path

import jax

from wayjax.errors import WayjaxError

# PCI (vendor, device) of TPU v2/v3, v4, v5p, v5e, v6e and v7x chips.
_TPU_CHIPS = {("0x1ae0", f"0x00{chip}") for chip in ("27", "5e", "62", "63", "6f", "76")}


def select_device(device: str) -> str:
  """Makes jax use the device that was asked for; call it before any computation.

  Args:
    device: `auto`, `cpu`, `gpu` or `tpu`.

  Returns:
    The platform in use: `cpu`, `gpu` or `tpu`.

  Raises:
    WayjaxError: jax has no such device, or the machine has an accelerator that jax cannot use.
  """
  if device == "cpu":
    jax.config.update("jax_platforms", "cpu")
  try:
    platform = jax.default_backend()
  except RuntimeError as error:
    raise WayjaxError(f"jax cannot start its device: {str(error).splitlines()[0]}") from error
  if device in ("gpu", "tpu") and platform != device:
    raise WayjaxError(
      f"--device {device}: jax sees only {platform} here; install wayjax[{_extra(device)}]"
    )
  if device == "auto" and platform == "cpu" and (present := _unused_accelerator()):
    raise WayjaxError(
      f"this machine has a {present.upper()} that jax cannot use: install "
      f"wayjax[{_extra(present)}], or choose --device cpu to run on the CPU"
    )
  return platform


def _extra(device: str) -> str:
  return {"gpu": "cuda", "tpu": "tpu"}[device]


def _unused_accelerator(root: Path = Path("/")) -> str | None:
  """An accelerator that the machine has, found without any driver's library."""
  if any(root.glob("proc/driver/nvidia/gpus/*")) or (root / "dev/nvidia0").exists():
    return "gpu"
  for vendor in root.glob("sys/bus/pci/devices/*/vendor"):
    try:
      chip = (vendor.read_text().strip(), (vendor.parent / "device").read_text().strip())
    except OSError:
      continue
    if chip in _TPU_CHIPS:
      return "tpu"
  return None


def resolve_precision(precision: str) -> str:
  """`auto` becomes bfloat16 on TPU, GPU and CPUs with bf16 units, and float32 elsewhere."""
  if precision in ("float32", "bfloat16"):
    return precision
  if precision != "auto":
    raise WayjaxError(f"precision must be float32, bfloat16 or auto, not {precision!r}")
  if jax.default_backend() != "cpu":
    return "bfloat16"
  try:
    flags = set(Path("/proc/cpuinfo").read_text().split())
  except OSError:
    flags = set()
  return "bfloat16" if flags & {"amx_bf16", "avx512_bf16"} else "float32"


def free_memory() -> int:
  """Bytes that are free on the first device; on a CPU, of the machine or its cgroup."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and "bytes_limit" in stats:
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
  # A machine's memory is one, however many devices its CPU is made to be.
  return max(min(_memory_limits(Path("/")), default=4 * 2**30), 0) // jax.local_device_count()


def _memory_limits(root: Path) -> list[int]:
  """Bytes free by the kernel's count, and under every memory limit of this process's cgroups."""
  limits = []
  with contextlib.suppress(OSError):
    lines = (root / "proc/meminfo").read_text().splitlines()
    limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
  with contextlib.suppress(OSError):
    for line in (root / "proc/self/cgroup").read_text().splitlines():
      _, controllers, path = line.split(":", 2)
      if controllers not in ("", "memory"):
        continue
      names = ("memory.max", "memory.current")
      if controllers:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
      group = root / "sys/fs/cgroup" / controllers / path.lstrip("/")
      while group.is_relative_to(root / "sys/fs/cgroup"):
        with contextlib.suppress(OSError, ValueError):
          most, used = (int((group / name).read_text()) for name in names)
          # The page cache counts as used there, but gives way.
          stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
          limits.append(most - used + int(stat["inactive_file"]))
        group = group.parent
  return limits


def describe() -> str:
  """The devices in words, such as `1 x NVIDIA H200` or `1 x cpu`."""
  found = jax.devices()
  return f"{len(found)} x {found[0].device_kind}"
