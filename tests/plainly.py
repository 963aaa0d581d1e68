"""What a vector reads as, by the definition and in float64; and tables on which that is hard."""

import itertools

import ml_dtypes
import numpy as np

from wayjax.config import METRICS

TYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
UP_TO = {
  "float32": ("float32",),
  "float16": ("float32", "float16"),
  "bfloat16": ("float32", "float16", "bfloat16"),
}
SETS_OF_METRICS = [names for count in (1, 2, 3) for names in itertools.combinations(METRICS, count)]


def scores_of(x_D, table_VxD, metric: str) -> list[float]:
  """How near a vector is to every token: nothing is shared with what is tested."""
  x_D, found = np.asarray(x_D, np.float64), []
  for e_D in np.asarray(table_VxD, np.float64):
    if metric == "euclidean":
      found.append(-np.sum((x_D - e_D) ** 2))
    elif metric == "dot":
      found.append(np.sum(x_D * e_D))
    else:
      lengths = np.sqrt(np.sum(x_D**2)) * np.sqrt(np.sum(e_D**2))
      found.append(np.sum(x_D * e_D) / lengths if lengths > 0 else 0.0)
  return found


def reads_as(x_D, table_VxD, metric: str, unused=()) -> int:
  """The token with the highest score; ties go to the lowest id."""
  best, highest = -1, -np.inf
  for token, score in enumerate(scores_of(x_D, table_VxD, metric)):
    if token not in unused and score > highest:
      best, highest = token, score
  return best


def readings(prompt_PxD, table_VxD, metric: str, dtype: str, unused=()) -> list[int]:
  """What the vectors of a prompt read as once they are stored in a type."""
  stored_PxD = np.asarray(prompt_PxD, np.float32).astype(TYPES[dtype]).astype(np.float64)
  return [reads_as(x_D, table_VxD, metric, unused) for x_D in stored_PxD]


def twins_of(token: int, table_VxD, unused=()) -> list[int]:
  """The tokens with exactly the embedding of one, itself among them."""
  alike = [v for v, e_D in enumerate(table_VxD) if np.array_equal(e_D, table_VxD[token])]
  return [v for v in alike if v not in unused]


def tables(seed: int) -> dict[str, tuple[np.ndarray, tuple[int, ...]]]:
  """Tables, and the rows of each that belong to no token."""
  rng = np.random.default_rng([2, seed])

  def drawn(tokens=24, width=8):
    return rng.normal(size=(tokens, width)).astype(np.float32)

  def changed(change):
    table_VxD = drawn()
    change(table_VxD)
    return table_VxD, ()

  def with_duplicates(e_VxD):
    e_VxD[20], e_VxD[[5, 9]] = e_VxD[3], e_VxD[17]

  def with_zeros(e_VxD):
    e_VxD[[6, 11]] = 0

  def nearly_alike(e_VxD):
    e_VxD[20] = e_VxD[3] + 1e-6 * rng.normal(size=8)

  def parallel(e_VxD):
    e_VxD[12] = 2 * e_VxD[11]

  lengths_Vx1 = np.float32(10) ** rng.uniform(-4, 4, (24, 1)).astype(np.float32)
  hole = drawn()
  hole[2] = hole[7]  # a row that belongs to no token is no twin
  return {
    "plain": (drawn(), ()),
    "duplicates": changed(with_duplicates),
    "zeros": changed(with_zeros),
    "nearly alike": changed(nearly_alike),
    "parallel": changed(parallel),
    "any lengths": (drawn() * lengths_Vx1, ()),
    "huge": (drawn() * np.float32(1e4), ()),
    "tiny": (drawn() * np.float32(1e-4), ()),
    "far from 0": (5 + 0.1 * drawn(), ()),
    "holes": (hole, (0, 2, 12, 23)),
    "all equal": (np.tile(drawn(1), (6, 1)), ()),
    "two": (drawn(2, 4), ()),
    "three": (drawn(3, 4), ()),
    "wide": (drawn(8, 40), ()),
  }


TABLES = sorted(tables(0))


def tokens_of(table_VxD, unused) -> np.ndarray:
  """The ids that are tokens."""
  return np.setdiff1d(np.arange(len(table_VxD)), unused)


def prompts(table_VxD, ids_P, anchors_PxD, rng) -> dict[str, np.ndarray]:
  """Prompts for tokens: near, far, beyond all measure, elsewhere, and nowhere."""
  length = np.sqrt(np.mean(np.square(table_VxD, dtype=np.float64).sum(axis=1)))
  noise_PxD = length * rng.normal(size=(len(ids_P), table_VxD.shape[1]))
  infinite_PxD = noise_PxD.copy()
  infinite_PxD[:, 0], infinite_PxD[0, 1] = np.inf, -np.inf
  found = {
    "near": anchors_PxD + 1e-3 * noise_PxD,
    "random": anchors_PxD + noise_PxD,
    "far": anchors_PxD + 1e6 * noise_PxD,
    "its embedding": table_VxD[ids_P],
    "another's embedding": np.roll(table_VxD[ids_P], 1, axis=0),
    "nowhere": np.full_like(noise_PxD, np.nan),
    "infinite": infinite_PxD,
  }
  return {name: prompt.astype(np.float32) for name, prompt in found.items()}
