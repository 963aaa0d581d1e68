"""What tests of experiments that have prompts read share: small rows and a tiny model."""

import pytest
from read_runs import make_inputs

from wayjax.models import load_lm


@pytest.fixture(scope="session")
def given(tmp_path_factory) -> list[str]:
  """Options of small rows, of short descriptions and of the model."""
  return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def lm(given):
  """The model as the experiment loads it."""
  return load_lm(given[1], precision="float32")
