"""Which device is used, and the error if it cannot be."""

import os
import subprocess
import sys

import jax
import pytest

from wayjax.devices import select
from wayjax.errors import WayjaxError


def pci(root, vendor, device):
  folder = root / "sys/bus/pci/devices/0000:00:05.0"
  folder.mkdir(parents=True)
  (folder / "vendor").write_text(vendor + "\n")
  (folder / "device").write_text(device + "\n")


def test_accelerators_are_found_without_a_driver(tmp_path):
  assert select._unused_accelerator(tmp_path) is None
  pci(tmp_path, "0x1ae0", "0x0042")  # a network card by the same manufacturer
  assert select._unused_accelerator(tmp_path) is None
  (tmp_path / "proc/driver/nvidia/gpus/0").mkdir(parents=True)
  assert select._unused_accelerator(tmp_path) == "gpu"


def test_a_tpu_is_found(tmp_path):
  pci(tmp_path, "0x1ae0", "0x006f")
  assert select._unused_accelerator(tmp_path) == "tpu"


def test_an_accelerator_that_jax_cannot_use_stops_the_run(monkeypatch):
  monkeypatch.setattr(select, "_unused_accelerator", lambda: "gpu")
  with pytest.raises(WayjaxError, match=r"has a GPU that jax cannot use: install wayjax\[cuda\]"):
    select.select_device("auto")
  assert select.select_device("cpu") == "cpu"
  monkeypatch.setattr(select, "_unused_accelerator", lambda: None)
  assert select.select_device("auto") == "cpu"


@pytest.mark.parametrize(("device", "extra"), [("gpu", "cuda"), ("tpu", "tpu")])
def test_a_missing_device_is_refused(device, extra):
  with pytest.raises(WayjaxError, match=rf"--device {device}: .* install wayjax\[{extra}\]"):
    select.select_device(device)


def test_precision(monkeypatch):
  assert select.resolve_precision("bfloat16") == "bfloat16"
  assert select.resolve_precision("auto") in ("float32", "bfloat16")
  monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
  assert select.resolve_precision("auto") == "bfloat16"
  assert select.resolve_precision("float32") == "float32"


def test_an_unknown_precision_is_refused():
  with pytest.raises(
    WayjaxError, match="precision must be one of float32, bfloat16, auto, not 'bf16'"
  ):
    select.resolve_precision("bf16")


@pytest.mark.parametrize(
  ("named", "said"),
  [("cuda", "names, cuda; unset"), ("nonsense", "names, nonsense: Unable to initialize backend")],
)
def test_a_platform_that_is_not_there_is_a_sentence(named, said):
  code = """if True:
    from wayjax.devices.select import select_device
    from wayjax.errors import WayjaxError
    try:
      select_device("auto")
    except WayjaxError as error:
      print(error)
    print(select_device("cpu"))
  """
  done = subprocess.run(
    [sys.executable, "-c", code], env=os.environ | {"JAX_PLATFORMS": named},
    capture_output=True, text=True, check=True,
  )  # fmt: skip
  error, platform = done.stdout.splitlines()
  assert f"jax cannot start what JAX_PLATFORMS {said}" in error
  assert error.endswith("or choose --device cpu")
  assert platform == "cpu"


def test_a_jax_that_does_not_compile_is_refused():
  with jax.disable_jit(), pytest.raises(WayjaxError, match="JAX_DISABLE_JIT is set"):
    select.select_device("cpu")
