"""The benchmark of generation: PEFT at its best says the same."""

import pytest

from experiments.benchmark import work


def test_both_generate_the_same_tokens(shared, tmp_path, monkeypatch):
  pytest.importorskip("torch")
  pytest.importorskip("peft")
  from experiments.benchmark import generation

  monkeypatch.setitem(work.SHAPES, "tiny", (2, 32, 2))
  work.save_model(tmp_path / "model", str(shared / "models" / "gpt2-tokenizer"), "tiny")
  found = generation.measure(tmp_path / "model", prompts=2, new=3, turns=1, inputs=(1, 2))
  assert list(found) == ["1 inputs a prompt", "2 inputs a prompt"]
  for result in found.values():
    assert result["share_of_equal_tokens"][generation.BEST] == 1
    assert set(result["ratio"]) == {generation.OWN, generation.BEST}
    assert min(result["ratio"].values()) > 0
