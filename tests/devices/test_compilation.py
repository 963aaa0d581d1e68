"""Compiled programs are kept between runs."""

import subprocess
import sys

SCRIPT = """
import jax, jax.numpy as jnp
from wayjax import compilation
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


def test_jaxs_own_setting_comes_first(tmp_path):
  assert run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine")) == str(tmp_path / "mine")
