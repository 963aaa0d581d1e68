"""The device that a run computes on, and the precision that suits it."""

from pathlib import Path

import jax

from wayjax.config import PRECISIONS
from wayjax.errors import WayjaxError, reason
from wayjax.options import require_choice

# PCI (vendor, device) of TPU v2/v3, v4, v5p, v5e, v6e and v7x chips.
_TPU_CHIPS = {("0x1ae0", f"0x00{chip}") for chip in ("27", "5e", "62", "63", "6f", "76")}


def select_device(device: str) -> str:
  """Makes jax use the requested device; call it before any computation.

  Args:
    device: `auto`, `cpu`, `gpu` or `tpu`.

  Returns:
    The platform in use: `cpu`, `gpu` or `tpu`.

  Raises:
    WayjaxError: jax has no such device, or the machine has an accelerator that jax cannot use.
  """
  if jax.config.jax_disable_jit:
    raise WayjaxError("JAX_DISABLE_JIT is set, and wayjax computes by compiled programs: unset it")
  if device == "cpu":
    jax.config.update("jax_platforms", "cpu")
  try:
    platform = jax.default_backend()
  except (RuntimeError, AssertionError) as error:  # jax asserts that a named platform is there
    named = jax.config.jax_platforms
    what = f"what JAX_PLATFORMS names, {named}" if named else "its device"
    why = f": {reason(error)}" if str(error) else ""
    raise WayjaxError(
      f"jax cannot start {what}{why}; unset JAX_PLATFORMS, install what it needs, or choose "
      "--device cpu"
    ) from error
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
  require_choice("precision", precision, PRECISIONS)
  if precision != "auto":
    return precision
  if jax.default_backend() != "cpu":
    return "bfloat16"
  try:
    flags = set(Path("/proc/cpuinfo").read_text().split())
  except OSError:
    flags = set()
  return "bfloat16" if flags & {"amx_bf16", "avx512_bf16"} else "float32"


def describe() -> str:
  """The devices in words, such as `1 x NVIDIA H200` or `1 x cpu`."""
  found = jax.devices()
  return f"{len(found)} x {found[0].device_kind}"
