"""Compiled programs are kept between runs, and as large as the free memory allows."""

import subprocess
import sys
import types

import jax
import pytest

from wayjax.devices import compilation

SCRIPT = """
import jax, jax.numpy as jnp
from wayjax.devices import compilation
compilation.keep_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(compilation.cache_folder())
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()
"""


def run(home, **environment):
  environment = {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu", **environment}
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
  )
  return done.stdout.strip()


def test_programs_are_kept_in_the_users_cache_by_kind_of_processor(tmp_path):
  folder = run(tmp_path)
  assert folder.startswith(str(tmp_path / "wayjax" / "xla"))
  kept = sorted(path.name for path in (tmp_path / "wayjax" / "xla").glob("*/*-cache"))
  assert kept
  run(tmp_path)
  assert sorted(path.name for path in (tmp_path / "wayjax" / "xla").glob("*/*-cache")) == kept


def test_the_setting_of_jax_comes_first(tmp_path):
  assert run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine")) == str(tmp_path / "mine")


class Lowered:
  """A stub for `lower`, whose programs need some bytes, and some more for each member."""

  def __init__(self, each, fixed=0, refused_above=1000, error="RESOURCE_EXHAUSTED"):
    self.each, self.fixed, self.refused_above, self.error = each, fixed, refused_above, error
    self.sizes = []  # the sizes compiled, in order

  def __call__(self, size):
    def compile():
      self.sizes.append(size)
      if size > self.refused_above:
        raise jax.errors.JaxRuntimeError(f"{self.error}: no")
      needed = types.SimpleNamespace(temp_size_in_bytes=self.fixed + self.each * size)
      return types.SimpleNamespace(size=size, memory_analysis=lambda: needed)

    return types.SimpleNamespace(compile=compile)


def fit(lower, size, **options):
  fitted = compilation.compile_to_fit(lower, size, **options)
  assert fitted.compiled.size == fitted.size
  return fitted.size, fitted.memory


def test_a_program_that_fits_keeps_its_size():
  lower = Lowered(each=10)
  assert fit(lower, 8, free=80) == (8, 80)
  assert lower.sizes == [8]


def test_a_program_shrinks_by_the_ratio_of_free_to_needed_memory():
  lower = Lowered(each=10)
  assert fit(lower, 8, free=35) == (3, 30)
  assert lower.sizes == [8, 3]


def test_a_program_that_still_does_not_fit_shrinks_again():
  lower = Lowered(each=1, fixed=100)
  assert fit(lower, 4, free=102) == (2, 102)
  assert lower.sizes == [4, 3, 2]


def test_size_one_is_returned_even_if_it_needs_too_much():
  lower = Lowered(each=10)
  assert fit(lower, 8, free=5) == (1, 10)
  assert lower.sizes[-1] == 1


def test_a_refused_program_is_halved():
  lower = Lowered(each=10, refused_above=2)
  assert fit(lower, 9, free=1000) == (2, 20)
  assert lower.sizes == [9, 4, 2]


@pytest.mark.parametrize(
  "words",
  [
    "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory "
    "required for HLO temporaries ({}) exceeds available HBM (15.75G). HLO module: jit_step.",
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used {} of 15.75G hbm.",
  ],
)
def test_a_refused_program_shrinks_by_what_the_compiler_says(words):
  lower = Lowered(each=10, refused_above=6, error=words.format("20.38G"))
  assert fit(lower, 9, free=1000) == (6, 60)
  assert lower.sizes == [9, 6]
  lower = Lowered(each=10, refused_above=8, error=words.format("15.80G"))
  assert fit(lower, 9, free=1000) == (8, 80)
  lower = Lowered(each=10, refused_above=3, error=words.format("0.03T"))
  assert fit(lower, 8, free=1000) == (2, 20)
  assert lower.sizes == [8, 4, 2]


def test_other_errors_of_the_compiler_are_raised():
  with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
    fit(Lowered(each=10, refused_above=0, error="INTERNAL"), 8, free=1000)
  lower = Lowered(each=10, refused_above=0)
  with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
    fit(lower, 4, free=1000)
  assert lower.sizes == [4, 2, 1]


def test_a_share_of_the_free_memory_is_used(monkeypatch):
  monkeypatch.setattr(compilation, "free_memory", lambda: 100)
  assert fit(Lowered(each=10), 20) == (8, 80)


def test_of_a_devices_pool_nearly_all_is_used(monkeypatch):
  stats = {"bytes_limit": 1200, "bytes_in_use": 200}
  device = types.SimpleNamespace(memory_stats=lambda: stats)
  monkeypatch.setattr(jax, "local_devices", lambda: [device])
  assert compilation.free_memory() == 1000
  assert fit(Lowered(each=10), 200) == (95, 950)


def test_a_real_program_fits():
  def lower(size):
    return jax.jit(lambda x: (x[:, None] * x[None, :]).sum(0)).lower(jax.numpy.ones(size))

  fitted = compilation.compile_to_fit(lower, 8)
  assert fitted.size == 8
  assert fitted.memory == compilation.temporary_bytes(fitted.compiled) >= 0


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
  assert sorted(compilation._memory_limits(tmp_path)) == [2900, 2000 * 1024]


def test_some_memory_is_free():
  assert 2**20 < compilation.free_memory() < 2**50
