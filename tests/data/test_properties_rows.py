"""Properties of any examples: how texts are encoded, and how they are packed into rows."""

import functools

import jax
import numpy as np
from forall import forall, outcome
from hypothesis import assume, example
from hypothesis import strategies as st
from tiny import EOS

from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples, encode, token_ids
from wayjax.data.examples import Examples
from wayjax.data.packing import left_mask
from wayjax.data.tasks import Task

IDS = functools.partial(st.lists, st.integers(0, 260), max_size=6)
ENCODED = st.builds(
  lambda prefixes, candidates, labels: EncodedExamples(
    tuple(np.array(ids, np.int32) for ids in prefixes),
    tuple(np.array(ids, np.int32) for ids in candidates),
    np.array([label % len(candidates) for label in labels], np.int32),
  ),
  st.lists(IDS(), min_size=5, max_size=5),
  st.lists(IDS(min_size=1), min_size=1, max_size=3),
  st.lists(st.integers(0, 99), min_size=5, max_size=5),
)


@functools.partial(jax.jit, static_argnums=(3, 4))
def pack(tokens, batch_B, mask_P, text, scored):
  row = packing.pack_training(tokens, batch_B, text, scored, reach=11)
  return row, packing.positions(row, mask_P), packing.visible(row, mask_P).pairs_SxS


@forall(
  20,
  encoded=ENCODED,
  batch=st.lists(st.integers(0, 4), min_size=1, max_size=4),
  real=st.integers(1, 3),
  spare=st.integers(0, 8),
)
def test_a_training_row_holds_each_example_of_its_batch_once(encoded, batch, real, spare):
  tokens = packing.training_tokens(encoded)
  sequences = [[*encoded.prefixes[i], *encoded.candidates[encoded.labels[i]]] for i in batch]
  places, slots = (int(np.sum(n_N[batch])) for n_N in (tokens.lengths_N, tokens.scored_N))
  # Sizes are rounded up so that few programs are compiled.
  tokens = tokens._replace(ids=np.pad(tokens.ids, (0, 60 - len(tokens.ids))))
  text, scored = (packing.round_up(size + spare, 8) for size in (places, slots))
  row, positions_S, pairs_SxS = jax.device_get(
    pack(tokens, np.array(batch), left_mask(real, 3), text, scored)
  )
  prompt, weights, slot = [*range(3 - real, 3)], 0.0, 0
  for number, (i, sequence) in enumerate(zip(batch, sequences)):
    own = np.flatnonzero(row.examples_T == number)
    assert row.ids_T[own].tolist() == sequence[:-1]
    assert np.all(np.diff(own) == 1)
    assert positions_S[3 + own].tolist() == list(range(real, real + len(own)))
    for k, place in enumerate(own):
      assert np.flatnonzero(pairs_SxS[3 + place]).tolist() == [*prompt, *(3 + own[: k + 1])]
    first = len(encoded.prefixes[i])
    for k in range(first, len(sequence)):
      assert row.labels_R[slot] == sequence[k]
      assert row.previous_R[slot] == (own[k - 1] if k else -1)
      np.testing.assert_allclose(row.weights_R[slot], 1 / len(batch) / (len(sequence) - first))
      weights, slot = weights + row.weights_R[slot], slot + 1
  np.testing.assert_allclose(weights, 1, rtol=1e-5)
  assert np.all(row.examples_T[places:] == packing.PADDING)
  assert not np.any(row.weights_R[slot:])


@forall(40, encoded=ENCODED, text=st.integers(1, 60), multiple=st.sampled_from([1, 8, 16]))
@example(
  encoded=EncodedExamples((np.int32([]),), (np.int32([0]),), np.int32([0])), text=1, multiple=1
)
def test_evaluation_rows_hold_each_example_with_each_class_once(encoded, text, multiple):
  rows, owners = packing.pack_evaluation(encoded, text, multiple)
  assert rows.ids_T.shape[1] % multiple == 0
  assert rows.ids_T.shape[1] >= text
  scored = {}  # (example, class) -> its slots, in order
  for n, slot in zip(*np.nonzero(owners.examples_NxR != packing.PADDING)):
    row = jax.tree.map(lambda array, n=n: array[n], rows)
    pair = (int(owners.examples_NxR[n, slot]), int(owners.classes_NxR[n, slot]))
    scored.setdefault(pair, []).append((row, slot))
  classes = range(len(encoded.candidates))
  assert sorted(scored) == [(i, c) for i in range(len(encoded)) for c in classes]
  for (i, c), slots in scored.items():
    prefix, candidate = encoded.prefixes[i], encoded.candidates[c]
    assert [row.labels_R[slot] for row, slot in slots] == candidate.tolist()
    for k, (row, slot) in enumerate(slots):
      before = row.previous_R[slot]
      assert row.weights_R[slot] == np.float32(1 / len(candidate))
      if k or len(prefix):
        assert row.ids_T[before] == [*prefix, *candidate][len(prefix) + k - 1]
        assert row.candidates_T[before] == (c + 1 if k else 0)
        assert row.offsets_T[before] == len(prefix) + k - 1
        own = np.flatnonzero(row.examples_T == row.examples_T[before])
        assert row.ids_T[own].tolist() == [
          *prefix,
          *(id for other in encoded.candidates for id in other[:-1]),
        ]
        assert own[-1] - own[0] <= rows.reach
      else:
        assert before == -1
  sizes = [len(prefix) + sum(len(c) - 1 for c in encoded.candidates) for prefix in encoded.prefixes]
  assert np.sum(rows.examples_T != packing.PADDING) == sum(sizes)
  assert np.sum(rows.weights_R > 0) == len(encoded) * sum(map(len, encoded.candidates))


WORDS = st.lists(st.text(min_size=1), min_size=2, max_size=4)


@forall(
  40,
  texts=st.lists(st.text(), min_size=1, max_size=3),
  before=st.text(),
  after=st.text(),
  words=WORDS,
  max_length=st.integers(17, 60),
)
def test_encoded_texts_are_text_template_label_and_end(lm, texts, before, after, words, max_length):
  template = f"{before}%s{after}"
  assume(template.count("%s") == 1)
  task = Task("any", template, tuple(words), tuple(words))
  examples = Examples(tuple(texts), (0,) * len(texts))
  encoded = outcome(encode, lm.tokenizer, task, examples, max_length)
  assert (encoded is None) == (len(set(words)) < len(words))
  if encoded is None:
    return
  assert len({tuple(ids[:1]) for ids in encoded.candidates}) > 1  # shared tokens are not scored
  for text, prefix in zip(texts, encoded.prefixes):
    cut = max_length - 16
    ids = token_ids(lm.tokenizer, [text])[0]
    assert prefix[: min(cut, len(ids))].tolist() == ids[:cut]
    for word, candidate in zip(words, encoded.candidates):
      assert candidate[-1] == lm.tokenizer.eos_token_id
      after_text = [*prefix[min(cut, len(ids)) :], *candidate]
      assert lm.tokenizer.decode(after_text) == f" {before}{word}{after}{EOS}"
    if len(ids) <= cut:
      assert lm.tokenizer.decode(ids) == text
