"""Properties: tests of what holds for any input, and inputs to try them on."""

import json
import resource
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wayjax.errors import WayjaxError

NIGHTLY = 2000  # examples of each property under `python -m pytest -m nightly`
_SECONDS, _KIBIBYTES = 60, 2**20  # of processor and memory: what one small file may never take
_OPTIONS = {
  "deadline": None,
  "database": None,  # tests leave nothing behind
  "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


def forall(few: int, **strategies):
  """Makes a function a test of a few examples, always the same, and a nightly one of many others.

  The nightly test stands beside it in its module, as `<name>_nightly`.
  """

  def decorate(check):
    def test(count, **options):
      return settings(max_examples=count, **_OPTIONS, **options)(given(**strategies)(check))

    nightly = pytest.mark.nightly(test(NIGHTLY, print_blob=True))
    check.__globals__[f"{check.__name__}_nightly"] = nightly
    return test(few, derandomize=True)

  return decorate


def outcome(function, *args, **options):
  """A function's result, or None where it refuses its input in one line; it may do nothing else."""
  used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  signal.signal(signal.SIGPROF, lambda *_: pytest.fail("it hangs"))
  signal.setitimer(signal.ITIMER_PROF, _SECONDS)
  try:
    return function(*args, **options)
  except WayjaxError as error:
    message = str(error)
  finally:
    signal.setitimer(signal.ITIMER_PROF, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < used + _KIBIBYTES
  assert message
  assert message.isprintable()  # so it is one line too
  return None


def put(path, content: bytes):
  """A new file of that content; whoever still maps an old one keeps it."""
  path.unlink(missing_ok=True)
  path.write_bytes(content)
  return path


SIZES = st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1, 10**18, 2**63, 2**64 - 1])
ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | SIZES | st.just(10**400),
  lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
  max_leaves=8,
)
JSON_BYTES = JSON.map(lambda value: json.dumps(value).encode())
DEEP = b'{"a": ' + b"[" * 100_000

# Where, how many bytes are taken away (None: as many as come), and what is put there.
EDITS = st.lists(
  st.tuples(
    st.integers(0, 4096) | st.integers(0, 2**17),
    st.sampled_from([None, None, None, 0, 1, 4, 2**20]),
    st.binary(max_size=2)
    | st.binary(max_size=8)
    | SIZES.map(lambda size: size.to_bytes(8, "little")),
  ),
  min_size=1,
  max_size=3,
)


def damage(whole: bytes, edits) -> bytes:
  """A file's content with these edits."""
  content = bytearray(whole)
  for at, removed, added in edits:
    at %= len(content) + 1
    content[at : at + (len(added) if removed is None else removed)] = added
  return bytes(content)


_KINDS = st.sampled_from(["F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "U8", "BOOL", "F4"])
_NUMBERS = st.lists(st.integers(-1, 300) | SIZES, max_size=4)
# Which entry of a safetensors header, which part of it (None is the whole), and its new value.
HEADER_EDITS = st.lists(
  st.tuples(
    st.integers(0, 99),
    st.sampled_from(["dtype", "shape", "data_offsets", "other", None]),
    _KINDS | _NUMBERS | JSON,
  ),
  min_size=1,
  max_size=3,
)


def edit_header(whole: bytes, edits) -> bytes:
  """A safetensors file with other entries in its header; its data stay."""
  length = int.from_bytes(whole[:8], "little")
  header = json.loads(whole[8 : 8 + length])
  for number, part, value in edits:
    name = sorted(header)[number % len(header)]
    if part is None or not isinstance(header[name], dict):
      header[name] = value
    else:
      header[name][part] = value
  text = json.dumps(header).encode()
  return len(text).to_bytes(8, "little") + text + whole[8 + length :]
