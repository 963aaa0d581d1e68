"""Training of the demo model, which continues after an interruption as if there had been none.

Array names end in their dimensions: B rows, T tokens of a row.
"""

import json
import math
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from experiments.pretrain_demo.data import Data
from experiments.pretrain_demo.settings import Settings
from wayjax.files import replacing
from wayjax.run.stopping import StopRequest

_WARMUP_STEPS = 100
_LAST_RATE = 0.1  # of the highest
_WEIGHT_DECAY = 0.1
_BETAS = (0.9, 0.95)
_CLIP_NORM = 1.0
_HEAD_ROWS = 512  # whose logits fit the cache
_SAVE_SECONDS = 180.0
_REPORT_SECONDS = 20.0
_BF16_UNITS = {"avx512_bf16", "amx_bf16"}
_FILE = "checkpoint.safetensors"


class Trainer:
  """The model, its optimiser and how far it has come.

  Attributes:
    model: transformers' GPT-2, float32.
    step: steps done.
    seconds: time spent on them, in all processes.

  Args:
    data: what to train on.
    work: the run's folder; a checkpoint there is taken up.
  """

  def __init__(self, data: Data, work: Path):
    self._data, self._settings, self._work = data, data.settings, work
    self.model = make_model(self._settings, data.tokenizer.get_vocab_size())
    parameters = self._parameters()
    matrices = [p for p in parameters.values() if p.ndim > 1]
    vectors = [p for p in parameters.values() if p.ndim <= 1]
    self._optimizer = torch.optim.AdamW(
      [{"params": matrices, "weight_decay": _WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0}],
      lr=self._settings.learning_rate,
      betas=_BETAS,
      fused=True,
    )
    self._bf16 = has_bf16_units()
    self.step, self.seconds = 0, 0.0
    if (work / _FILE).is_file():
      self._load()

  @property
  def done(self) -> bool:
    """Whether all steps are done."""
    return self.step >= self._settings.steps

  def train(self, stop: StopRequest) -> None:
    """Trains until the last step or a signal, and saves."""
    torch.set_flush_denormal(True)
    try:
      self._train(stop)
    finally:
      torch.set_flush_denormal(False)  # it is of the whole process, and of Python's numbers too

  def _train(self, stop: StopRequest) -> None:
    self.model.train()
    reported = saved = time.monotonic()
    reported_step, losses = self.step, []
    while not self.done and not stop:
      started = time.monotonic()
      losses.append(self._train_step())
      now = time.monotonic()
      self.seconds += now - started
      if now - reported >= _REPORT_SECONDS or self.done:
        self._report(losses, (self.step - reported_step) / (now - reported))
        reported, reported_step, losses = now, self.step, []
      if now - saved >= _SAVE_SECONDS:
        self._save()
        saved = now
    self._save()
    self.model.eval()

  def _train_step(self) -> torch.Tensor:
    for group in self._optimizer.param_groups:
      group["lr"] = learning_rate(self.step, self._settings)
    ids_BxT = torch.from_numpy(self._data.rows(self.step))
    with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
      loss = token_losses(self.model, ids_BxT).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP_NORM)
    self._optimizer.step()
    self._optimizer.zero_grad()
    self.step += 1
    return loss.detach()

  def _report(self, losses: list[torch.Tensor], steps_per_second: float) -> None:
    settings = self._settings
    left = (settings.steps - self.step) / steps_per_second / 60
    print(
      f"step {self.step:,} of {settings.steps:,}  loss {torch.stack(losses).mean():.3f}  "
      f"{steps_per_second * settings.batch * settings.sequence:,.0f} tokens/s  "
      f"{left:.0f} min left",
      flush=True,
    )

  def _parameters(self) -> dict[str, torch.nn.Parameter]:
    return dict(self.model.named_parameters())  # a tied head is not listed again

  def _save(self) -> None:
    tensors = {}
    for name, parameter in self._parameters().items():
      tensors[f"model.{name}"] = parameter.detach()
      for moment in ("exp_avg", "exp_avg_sq"):
        if parameter in self._optimizer.state:
          tensors[f"{moment}.{name}"] = self._optimizer.state[parameter][moment]
    with replacing(self._work / _FILE) as path:
      save_file(tensors, path, {"progress": json.dumps([self.step, self.seconds])})

  def _load(self) -> None:
    with safe_open(self._work / _FILE, framework="pt") as file:
      self.step, self.seconds = json.loads(file.metadata()["progress"])
      for name, parameter in self._parameters().items():
        with torch.no_grad():
          parameter.copy_(file.get_tensor(f"model.{name}"))
        if self.step:
          self._optimizer.state[parameter] = {
            "step": torch.tensor(float(self.step)),
            "exp_avg": file.get_tensor(f"exp_avg.{name}"),
            "exp_avg_sq": file.get_tensor(f"exp_avg_sq.{name}"),
          }


def make_model(settings: Settings, vocabulary: int) -> GPT2LMHeadModel:
  """A new GPT-2 without dropout, its weights drawn from the seed."""
  torch.manual_seed(settings.seed)
  config = GPT2Config(
    vocab_size=vocabulary,
    n_positions=settings.positions,
    n_embd=settings.width,
    n_layer=settings.layers,
    n_head=settings.heads,
    # gelu_new by one kernel
    activation_function="gelu_pytorch_tanh",
    resid_pdrop=0.0,
    embd_pdrop=0.0,
    attn_pdrop=0.0,
    bos_token_id=0,
    eos_token_id=0,
    attn_implementation="sdpa",
  )
  return GPT2LMHeadModel(config)


def token_losses(model: GPT2LMHeadModel, ids_BxT: torch.Tensor) -> torch.Tensor:
  """Log-loss in nats of every token but a row's first, one after the other, float32."""
  hidden_BxTxD = model.transformer(ids_BxT[:, :-1], use_cache=False).last_hidden_state
  parts = zip(
    hidden_BxTxD.flatten(0, 1).split(_HEAD_ROWS),
    ids_BxT[:, 1:].flatten().split(_HEAD_ROWS),
    strict=True,
  )
  return torch.cat(
    [
      functional.cross_entropy(model.lm_head(hidden_TxD).float(), next_T, reduction="none")
      for hidden_TxD, next_T in parts
    ]
  )


def learning_rate(step: int, settings: Settings) -> float:
  """Linear warm-up, then a cosine down to a tenth."""
  warmup = min(_WARMUP_STEPS, settings.steps // 10)
  if step < warmup:
    return settings.learning_rate * (step + 1) / warmup
  done = (step - warmup) / max(1, settings.steps - warmup)
  share = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * done)) / 2
  return settings.learning_rate * share


def has_bf16_units() -> bool:
  """Whether this CPU multiplies bfloat16 matrices faster than float32 ones."""
  try:
    return bool(_BF16_UNITS & set(Path("/proc/cpuinfo").read_text().split()))
  except OSError:
    return False
