"""What every test shares: strict jax settings, no network, compiled programs, a tiny model."""

import os
import sys
from importlib import metadata

# Every simulated device computes a member at least, so that more of them take more time.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + (
  f" --xla_force_host_platform_device_count={8 if 'nightly' in sys.argv else 4}"
)
if "nightly" not in sys.argv:
  # Nearly all of the time is XLA's, which compiles thousands of tiny programs; nightly tests are
  # compiled as users' programs are.
  os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
  # The emitters that it had before are quicker to compile; later versions do not have them.
  if metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

import shutil
import socket
import tempfile
from pathlib import Path

import huggingface_hub
import jax
import nltk
import numpy as np
import pytest
import tiny

from wayjax import metrics
from wayjax.models import LanguageModel, load_lm
from wayjax.tuning import groups

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")

# Compiled programs are shared by the workers and the processes that tests start, for one session.
_PROGRAMS = "JAX_COMPILATION_CACHE_DIR"
_IS_FIRST = "PYTEST_XDIST_WORKER" not in os.environ
if _IS_FIRST:
  os.environ[_PROGRAMS] = tempfile.mkdtemp(prefix="wayjax-tests-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
jax.config.update("jax_compilation_cache_dir", os.environ[_PROGRAMS])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# Each length has programs of its own, as in long runs; `test_groups.py` has what short ones choose.
groups.PROGRAM_POSITIONS["cpu"] = 0

SHARED = Path(__file__).resolve().parents[2] / "shared"
LOOPBACK = "localhost", "127.0.0.1", "::1"


def pytest_unconfigure():
  if _IS_FIRST:
    shutil.rmtree(os.environ.pop(_PROGRAMS), ignore_errors=True)  # tests leave nothing behind


@pytest.fixture(autouse=True)
def no_network(request, monkeypatch):
  """No test may open a connection; one that drives a browser may, to this machine."""
  allowed = LOOPBACK if request.node.get_closest_marker("browser") else ()
  connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

  def guarded_connect(self, address):
    if address[0] not in allowed:
      raise OSError("tests have no network")
    return connect(self, address)

  def guarded_getaddrinfo(host, *args, **kwargs):
    if host not in allowed:
      raise OSError("tests have no network")
    return getaddrinfo(host, *args, **kwargs)

  monkeypatch.setattr(socket.socket, "connect", guarded_connect)
  monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)


@pytest.fixture(autouse=True, scope="module")
def no_programs_left():
  """Programs go with their module: each takes memory maps, and a process may have 65,530."""
  yield
  jax.clear_caches()


@pytest.fixture(scope="session")
def shared() -> Path:
  """The project's shared data; tests that need it are skipped where it is not there."""
  if not SHARED.is_dir():
    pytest.skip("no shared data beside the checkout")
  return SHARED


@pytest.fixture
def reachable():
  """A folder that other users can go to; pytest's own are closed to them."""
  with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o777)
    yield Path(folder)


@pytest.fixture
def wordnet(shared, monkeypatch) -> Path:
  """NLTK's data with WordNet, for one test; if it stayed, later rows would have lemmas."""
  folder = shared / "nltk_data"
  monkeypatch.setattr(nltk.data, "path", [str(folder)])
  metrics._lemmatizer.cache_clear()
  yield folder
  nltk.corpus.wordnet._unload()
  metrics._lemmatizer.cache_clear()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
  """A tiny random GPT-2 in Hugging Face's layout, with a byte-level tokenizer."""
  return tiny.save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def lm(model_dir) -> LanguageModel:
  """The tiny model on one of the devices."""
  return tiny.over(load_lm(str(model_dir), precision="float32"), 1)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
  """A folder of files of the task sst2 that can be learnt from one word."""
  return tiny.save_rows(tmp_path_factory.mktemp("data"))


@pytest.fixture
def rng() -> np.random.Generator:
  return np.random.default_rng(0)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
  """An empty Hub cache."""
  monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
  return tmp_path


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
  """A browser, started once; tests that use it carry the marker `browser`."""
  webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
  chromium = shutil.which("chromium") or shutil.which("chromium-browser")
  chromedriver = shutil.which("chromedriver")
  if not (chromium and chromedriver):
    pytest.skip("chromium or chromedriver not installed")
  options = webdriver.ChromeOptions()
  options.binary_location = chromium
  options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
  for flag in (
    "--headless=new",
    "--no-sandbox",  # which root cannot have
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
  ):
    options.add_argument(flag)
  driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
  yield driver
  driver.quit()
