"""Sweeps held in cells: what is certified reads as its text, from any start, at a high rate."""

import json
from typing import ClassVar

import numpy as np
import plainly
import pytest
import tiny
from safetensors.numpy import save_file
from tokenizers.pre_tokenizers import ByteLevel
from tuning.sweeps import BATCH, SHORT, STEPS, examples, group_of, members_of, train

import wayjax
from wayjax.cells import Cells
from wayjax.certificate import certify
from wayjax.config import INITS
from wayjax.constraints import get_constraint
from wayjax.data import packing
from wayjax.devices.sharding import place
from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.tuning import program
from wayjax.tuning.members import take_shard
from wayjax.tuning.settings import TrainSettings

TEXTS = (SHORT, "a longer target text")
LR = 0.3  # where an unconstrained prompt leaves its cells


def tune(lm, **options):
  return wayjax.tune(
    lm,
    examples(),
    list(TEXTS),
    **{
      "gammas": (0.0, 0.01),
      "seeds": (1,),
      "constraints": ("c-dist", "cell"),
      "cell_gammas": (0.0, 0.01),
      "steps": STEPS,
      "batch_size": BATCH,
      "lr": LR,
      **options,
    },
  )


def readings(found, lm, metric, dtype="float32"):
  prompt_PxD, unused = found.prompt.vectors_PxD, () if lm.unused_U is None else lm.unused_U
  return plainly.readings(prompt_PxD, np.asarray(lm.table_VxD), metric, dtype, unused)


def certified_metrics(found) -> tuple[str, ...]:
  member = found.member
  return certify(member.cells, found.prompt.vectors_PxD, member.target_ids, "euclidean").metrics


@pytest.fixture(scope="module", params=INITS)
def tuned(lm, request):
  return tune(lm, init=request.param)


class TestWhatIsCertified:
  def test_it_reads_as_its_text_in_every_type(self, lm, tuned):
    in_cells = [found for found in tuned if found.member.constraint == "cell"]
    assert len(in_cells) == 4
    for found in in_cells:
      metrics = found.member.held.metrics
      assert set(metrics) >= {"euclidean", "cosine"}
      assert set(certified_metrics(found)) >= set(metrics)
    for found in tuned:
      ids = found.member.target_ids.tolist()
      for metric in certified_metrics(found):
        for dtype in plainly.TYPES:
          assert readings(found, lm, metric, dtype) == ids
        by_reader = wayjax.d_proj(found.prompt.vectors_PxD, lm.table_VxD, metric, lm.unused_U)
        assert np.asarray(by_reader).tolist() == ids

  def test_without_cells_they_leave(self, lm, tuned):
    """The control: else the cells would have had nothing to hold."""
    free = [found for found in tuned if found.member.key.endswith("gamma=0/seed=1")]
    assert len(free) == 2
    for found in free:
      assert certified_metrics(found) == ()
      assert readings(found, lm, "euclidean") != found.member.target_ids.tolist()

  def test_its_prompts_were_trained(self, tuned):
    for found in tuned:
      assert found.diverged_at is None
      assert np.any(found.prompt.vectors_PxD != found.member.init_PxD)

  def test_the_first_prompt_is_inside_already(self, lm, tuned):
    for found in tuned:
      member = found.member
      if member.constraint == "cell":
        start_PxD, table_VxD = member.init_PxD, np.asarray(lm.table_VxD)
        for metric in member.held.metrics:
          assert (
            plainly.readings(start_PxD, table_VxD, metric, "bfloat16") == member.target_ids.tolist()
          )

  def test_keys(self, tuned):
    assert [found.member.key for found in tuned[:4]] == [
      "text/text-1/gamma=0/seed=1",
      "text/text-1/gamma=0.01/seed=1",
      "text/text-1/gamma=0/seed=1/constraint=cell",
      "text/text-1/gamma=0.01/seed=1/constraint=cell",
    ]

  def test_the_penalty_beside_the_cell_counts(self, tuned):
    free, _, cell, with_penalty = tuned[:4]
    last = [found.c_dist_T[-1] for found in (free, cell, with_penalty)]
    assert last[1] != last[2]


@pytest.mark.parametrize("dtype", list(plainly.UP_TO))
def test_it_survives_the_type_that_was_asked_for(lm, dtype):
  (found,) = tune(lm, constraints=("cell",), cell_gammas=(0.0,), certify_dtype=dtype)[:1]
  for stored in plainly.UP_TO[dtype]:
    assert readings(found, lm, "euclidean", stored) == found.member.target_ids.tolist()
  assert "euclidean" in certified_metrics(found)


@pytest.mark.parametrize("metrics", [("cosine",), ("dot",), ("euclidean", "dot")])
def test_it_is_held_under_the_metrics_that_were_asked_for(lm, metrics):
  found = tune(lm, constraints=("cell",), certify_metrics=metrics, cell_gammas=(0.0,))[0]
  assert found.member.held.metrics == metrics
  for metric in metrics:
    assert readings(found, lm, metric) == found.member.target_ids.tolist()


def test_a_prompt_that_stays_inside_without_a_cell_is_certified(lm):
  (found,) = wayjax.tune(
    lm, examples(), [SHORT], gammas=(0.3,), seeds=(1,), steps=STEPS, batch_size=BATCH, lr=0.001
  )
  assert "euclidean" in certified_metrics(found)
  assert np.any(found.prompt.vectors_PxD != found.member.init_PxD)


@pytest.fixture(scope="module")
def members(lm):
  """Three, so that no number of devices divides them."""
  return members_of(lm, constraints=("cell",), cell_gammas=(0.0, 0.3), seeds=(1, 2))[:3]


def test_any_number_of_devices(lm, members):
  alone, several = train(lm, members, lr=LR), train(tiny.over(lm, 4), members, lr=LR)
  assert list(several) == list(alone)
  for key, found in several.items():
    np.testing.assert_allclose(
      found.prompt.vectors_PxD, alone[key].prompt.vectors_PxD, rtol=0, atol=1e-3
    )
    assert readings(found, lm, "euclidean", "bfloat16") == found.member.target_ids.tolist()


def test_padding_stays_untouched(lm, members):
  group = group_of(members, 16)
  settings = TrainSettings(steps=STEPS, batch_size=BATCH, lr=LR)
  tokens = place(packing.training_tokens(examples()), lm.layout.everywhere())
  made = program.compile_group(lm, group, settings, tokens)
  leaves_M, state_M = program.begin(lm.layout, group, settings, made.size)
  dispatch = group.schedule.dispatch(0, STEPS)
  state_M, _ = made.compiled(lm.params, tokens, leaves_M, state_M, dispatch)
  assert not np.any(state_M.prompt_PxD[:, :9])
  shorter = train(lm, members, lr=LR)
  for member, prompt_PxD in zip(members, state_M.prompt_PxD):
    constraint = get_constraint("cell")
    settled_PxD = constraint.settle(prompt_PxD[9:], member.target_ids, member.held, member.cells)
    expected_PxD = shorter[member.key].prompt.vectors_PxD
    np.testing.assert_allclose(settled_PxD, expected_PxD, rtol=0, atol=1e-3)


def char(name: str) -> int:
  """The id of a character."""
  return 1 + sorted(ByteLevel.alphabet()).index(name)


@pytest.fixture(scope="module")
def hard_lm(tmp_path_factory):
  """The tiny model with an "e" that has the embedding of "d", and an "n" that almost has "m"'s.

  Its tokenizer knows nothing of id 150, whose row is almost that of "x".
  """
  folder = tiny.save_model(tmp_path_factory.mktemp("hard"))
  stored = tiny.tensors()
  table_VxD = stored["transformer.wte.weight"]
  table_VxD[char("e")] = table_VxD[char("d")]
  table_VxD[char("n")] = table_VxD[char("m")] * np.float32(1 + 1e-6)
  table_VxD[150] = table_VxD[char("x")] + 0.001
  save_file(stored, folder / "model.safetensors")
  tokenizer = json.loads((folder / "tokenizer.json").read_text())
  vocab = tokenizer["model"]["vocab"]
  moved = next(name for name, token in vocab.items() if token == 150)
  vocab[moved] = 258
  (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
  found = tiny.over(load_lm(str(folder), precision="float32"), 1)
  assert list(found.unused_U) == [150, 257]
  return found


class TestHardTokens:
  """Tokens that cannot be told from others are named; the rest of their texts is held as ever."""

  OPTIONS: ClassVar = {
    "gammas": (0.0,), "seeds": (1,), "constraints": ("cell",), "steps": STEPS, "batch_size": BATCH,
    "lr": LR,
  }  # fmt: skip
  ALIKE = ("euclidean", "cosine")

  def test_one_that_is_never_read_is_named_once(self, hard_lm, caplog):
    tuned = wayjax.tune(hard_lm, examples(), ["see me", "be"], **self.OPTIONS)
    warnings = [record.getMessage() for record in caplog.records if record.name == "wayjax"]
    assert warnings == [
      "no prompt certainly reads as token 69 ('e'): token 68 ('d') has the same embedding, and "
      "ties go to the lower id; texts with it are held against all other tokens, and not certified"
    ]
    assert [certified_metrics(found) for found in tuned] == [(), ()]
    for found, text in zip(tuned, ("sdd md", "bd")):
      for dtype in plainly.TYPES:
        ids = readings(found, hard_lm, "euclidean", dtype)
        assert hard_lm.tokenizer.decode(ids) == text

  def test_the_lower_of_two_alike_is_certified(self, hard_lm, caplog):
    (found,) = wayjax.tune(hard_lm, examples(), ["dad"], **self.OPTIONS)
    assert not [record for record in caplog.records if record.name == "wayjax"]
    assert "euclidean" in certified_metrics(found)
    for dtype in plainly.TYPES:
      assert readings(found, hard_lm, "euclidean", dtype) == found.member.target_ids.tolist()

  def test_of_almost_the_same_embedding_each_is_certified_or_named(self, hard_lm, caplog):
    """Of "m" and "n", which differ by a millionth."""
    tuned = wayjax.tune(hard_lm, examples(), ["mm", "nn"], **self.OPTIONS)
    warnings = [record.getMessage() for record in caplog.records if record.name == "wayjax"]
    for found, name in zip(tuned, "mn"):
      named = any(f"reads as {found.member.cells.name(char(name))}: " in line for line in warnings)
      assert named is ("euclidean" not in certified_metrics(found))
      for metric in certified_metrics(found):
        for dtype in plainly.TYPES:
          expected = found.member.target_ids.tolist()
          assert readings(found, hard_lm, metric, dtype) == expected

  def test_a_row_of_no_token_is_no_wall(self, hard_lm):
    (found,) = wayjax.tune(hard_lm, examples(), ["xxxxxxx"], **self.OPTIONS)
    vectors_PxD, table_VxD = found.prompt.vectors_PxD, np.asarray(hard_lm.table_VxD)
    assert 150 in plainly.readings(vectors_PxD, table_VxD, "euclidean", "float32")
    assert "euclidean" in certified_metrics(found)
    assert readings(found, hard_lm, "euclidean", "bfloat16") == found.member.target_ids.tolist()

  def test_a_metric_under_which_one_has_no_anchor_is_refused(self, hard_lm):
    """ "m" and "n" lie in one direction."""
    with pytest.raises(
      WayjaxError,
      match=r"^no vector reads as token 77 \('m'\) under euclidean and cosine in every type up to "
      r"bfloat16: choose other --certify-metrics, or another text$",
    ):
      members_of(hard_lm, ["read me"], constraints=("cell",), certify_metrics=self.ALIKE)


def test_parts_of_a_sweep_have_both(lm):
  """What is compared stays together."""
  options = {"gammas": (0.0, 0.5), "constraints": ("c-dist", "cell"), "cell_gammas": (0.25,)}
  members = members_of(lm, TEXTS, seeds=(1, 2), **options)
  parts = [take_shard(members, i, 4) for i in range(4)]
  assert sorted(key for part in parts for key in keys(part)) == sorted(keys(members))
  for part in parts:
    assert len({(member.target, member.seed) for member in part}) == 1
    assert [member.constraint for member in part] == ["c-dist", "c-dist", "cell"]


def keys(members) -> list[str]:
  return [member.key for member in members]


class TestWrongValues:
  @pytest.mark.parametrize(
    ("options", "message"),
    [
      ({"cell_gammas": (-1.0,)}, "cell_gammas must be numbers of at least 0, not -1.0"),
      ({"cell_gammas": 0.1}, "cell_gammas must be a list of values, not 0.1"),
      ({"cell_gammas": ()}, "at least one"),
      ({"certify_dtype": "float8"}, "certify_dtype must be one of float32, float16, bfloat16"),
      ({"certify_metrics": ("l1",)}, "certify_metrics must be one of euclidean, dot, cosine"),
      ({"certify_metrics": "dot"}, "certify_metrics must be a list of values, not 'dot'"),
      (
        {"prompt_tokens": 20, "init": "vocab"},
        "--prompt-tokens 20 does not go with --constraint cell: target 't7' has 7 tokens",
      ),
    ],
  )
  def test_they_are_refused(self, lm, options, message):
    with pytest.raises(WayjaxError, match=message) as error:
      members_of(lm, gammas=(0.0,), constraints=("cell",), **options)
    assert "\n" not in str(error.value)

  def test_gammas_of_the_cell_are_its_own(self, lm):
    members = members_of(
      lm, gammas=(0.0, 0.5), seeds=(1,), constraints=("c-dist", "cell"), cell_gammas=(0.25,)
    )
    assert [(member.constraint, member.gamma) for member in members] == [
      ("c-dist", 0.0), ("c-dist", 0.5), ("cell", 0.25)
    ]  # fmt: skip
    assert members[2].key == "text/t7/gamma=0.25/seed=1/constraint=cell"
    assert members_of(lm, gammas=(), constraints=("cell",))[0].gamma == 0
    np.testing.assert_array_equal(members[2].init_PxD, members[0].init_PxD)
    assert isinstance(members[0].cells, Cells)
