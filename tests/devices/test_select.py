"""Which device is used, and what is said where that cannot be."""

import jax
import pytest

from wayjax import devices
from wayjax.errors import WayjaxError


def pci(root, vendor, device):
  folder = root / "sys/bus/pci/devices/0000:00:05.0"
  folder.mkdir(parents=True)
  (folder / "vendor").write_text(vendor + "\n")
  (folder / "device").write_text(device + "\n")


def test_accelerators_are_found_without_a_driver(tmp_path):
  assert devices._unused_accelerator(tmp_path) is None
  pci(tmp_path, "0x1ae0", "0x0042")  # a network card of the same maker
  assert devices._unused_accelerator(tmp_path) is None
  (tmp_path / "proc/driver/nvidia/gpus/0").mkdir(parents=True)
  assert devices._unused_accelerator(tmp_path) == "gpu"


def test_a_tpu_is_found(tmp_path):
  pci(tmp_path, "0x1ae0", "0x006f")
  assert devices._unused_accelerator(tmp_path) == "tpu"


def test_an_accelerator_that_jax_cannot_use_stops_the_run(monkeypatch):
  monkeypatch.setattr(devices, "_unused_accelerator", lambda: "gpu")
  with pytest.raises(WayjaxError, match=r"has a GPU that jax cannot use: install wayjax\[cuda\]"):
    devices.select_device("auto")
  assert devices.select_device("cpu") == "cpu"
  monkeypatch.setattr(devices, "_unused_accelerator", lambda: None)
  assert devices.select_device("auto") == "cpu"


@pytest.mark.parametrize(("device", "extra"), [("gpu", "cuda"), ("tpu", "tpu")])
def test_a_device_that_is_not_there_is_refused(device, extra):
  with pytest.raises(WayjaxError, match=rf"--device {device}: .* install wayjax\[{extra}\]"):
    devices.select_device(device)


def test_precision(monkeypatch):
  assert devices.resolve_precision("bfloat16") == "bfloat16"
  assert devices.resolve_precision("auto") in ("float32", "bfloat16")
  monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
  assert devices.resolve_precision("auto") == "bfloat16"
  assert devices.resolve_precision("float32") == "float32"


def test_an_unknown_precision_is_refused():
  with pytest.raises(WayjaxError, match="precision must be float32, bfloat16 or auto, not 'bf16'"):
    devices.resolve_precision("bf16")


@pytest.mark.parametrize(
  ("line", "folder", "names"),
  [
    ("0::/job/step", "", ("memory.max", "memory.current")),
    ("5:memory:/job/step", "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
  ],
)
def test_the_tightest_cgroup_counts_and_page_cache_is_free(tmp_path, line, folder, names):
  (tmp_path / "proc/self").mkdir(parents=True)
  (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2000 kB\n")
  (tmp_path / "proc/self/cgroup").write_text(line + "\n")
  root = tmp_path / "sys/fs/cgroup" / folder
  for group, most in (("", "max"), ("job", "5000"), ("job/step", "max")):
    (root / group).mkdir(parents=True, exist_ok=True)
    (root / group / names[0]).write_text(most + "\n")
    (root / group / names[1]).write_text("3000\n")
    (root / group / "memory.stat").write_text("anon 2000\ninactive_file 900\n")
  assert sorted(devices._memory_limits(tmp_path)) == [2900, 2000 * 1024]


def test_free_memory_is_some():
  assert 2**20 < devices.free_memory() < 2**50
