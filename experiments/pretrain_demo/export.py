"""The trained model as a folder in Hugging Face's layout, with its model card."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GPT2LMHeadModel

from experiments.pretrain_demo import evaluation, tokenizer
from experiments.pretrain_demo.card import model_card
from experiments.pretrain_demo.data import Data
from experiments.pretrain_demo.settings import Settings
from experiments.pretrain_demo.training import Trainer
from wayjax.errors import WayjaxError
from wayjax.files import replacing

LARGEST_BYTES = 12_000_000
_HEADER_BYTES = 16_384  # names and shapes of the tensors, generously
_TOLERANCE = 1e-3  # nats a token, by which the rescaled model may differ


def count_parameters(settings: Settings, vocabulary: int) -> int:
  """How many numbers the model has; the head is the embedding table."""
  width = settings.width
  block = 12 * width * width + 13 * width
  return (vocabulary + settings.positions + 2) * width + settings.layers * block


def check_size(settings: Settings) -> None:
  """Refuses a model that is too large to be shipped, before anything is trained.

  Raises:
    WayjaxError: its file would exceed the limit.
  """
  size = 2 * count_parameters(settings, settings.vocabulary) + _HEADER_BYTES
  if size > LARGEST_BYTES:
    raise WayjaxError(
      f"a model of {settings.layers} layers of width {settings.width} with {settings.vocabulary} "
      f"tokens takes {size / 1e6:.1f} MB in bfloat16, more than {LARGEST_BYTES / 1e6:.0f} MB: make "
      "it smaller"
    )


@torch.no_grad()
def rescale(model: GPT2LMHeadModel, norm: float) -> float:
  """Gives the vocabulary's embeddings a mean norm without changing what the model computes.

  All that is added to the residual stream is multiplied by one factor; layer norms undo it, with
  their epsilon multiplied by its square, and the last one's output is divided by it, because the
  head is the embedding table.

  Args:
    model: changed in place.
    norm: the mean Euclidean norm that its token embeddings are to have.

  Returns:
    The factor.
  """
  body = model.transformer
  factor = norm / body.wte.weight.norm(dim=1).mean().item()
  grown = [body.wte.weight, body.wpe.weight]
  norms = [body.ln_f]
  for block in body.h:
    grown += [*block.attn.c_proj.parameters(), *block.mlp.c_proj.parameters()]
    norms += [block.ln_1, block.ln_2]
  for parameter in grown:
    parameter.mul_(factor)
  for parameter in body.ln_f.parameters():
    parameter.div_(factor)
  for layer_norm in norms:
    layer_norm.eps *= factor**2
  model.config.layer_norm_epsilon *= factor**2
  return factor


def export(trainer: Trainer, data: Data, out: Path, embedding_norm: float, command: str) -> None:
  """Rescales the trained model, measures it and writes its folder.

  Args:
    trainer: done with training; its model is changed.
    data: what it was trained on.
    out: the folder to write.
    embedding_norm: mean norm of the token embeddings.
    command: that makes the model again, for its card.

  Raises:
    WayjaxError: the rescaled model is not the trained one, or its file is too large.
  """
  settings, model = data.settings, trainer.model
  trained = evaluation.held_out_losses(model, data.held_out, settings.positions)
  factor = rescale(model, embedding_norm)
  rescaled = evaluation.held_out_losses(model, data.held_out, settings.positions)
  change = abs(evaluation.overall(rescaled).per_token - evaluation.overall(trained).per_token)
  print(f"embeddings and residual stream times {factor:.3f}: held-out loss moves by {change:.1e}")
  if not change <= _TOLERANCE:
    raise WayjaxError(
      f"the rescaled model's held-out loss differs by {change:.1e} nats a token: nothing is written"
    )
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.copy_(parameter.bfloat16())
  losses = evaluation.held_out_losses(model, data.held_out, settings.positions)
  size = _write(model, data, out)
  card = model_card(trainer, data, losses, size, embedding_norm, command)
  (out / "README.md").write_text(card, encoding="utf-8")
  for name, loss in (losses | {"all": evaluation.overall(losses)}).items():
    print(
      f"held out, {name}: {loss.per_token:.3f} nats a token, {loss.bits_per_byte:.3f} bits a byte"
    )


def _write(model: GPT2LMHeadModel, data: Data, out: Path) -> int:
  """Writes configuration, weights and tokenizer; returns the weights' size in bytes."""
  out.mkdir(parents=True, exist_ok=True)
  tensors = {name: p.detach().bfloat16() for name, p in model.named_parameters()}
  with replacing(out / "model.safetensors") as path:
    save_file(tensors, path, {"format": "pt"})
    if (size := path.stat().st_size) > LARGEST_BYTES:
      raise WayjaxError(f"the weights take {size:,} bytes, more than {LARGEST_BYTES:,}")
  (out / "model.safetensors").chmod(0o644)  # safetensors leaves it to its owner alone
  tokenizer.save(data.tokenizer, out, data.settings.positions)
  (out / "config.json").write_text(json.dumps(_config(model), indent=2) + "\n")
  return size


def _config(model: GPT2LMHeadModel) -> dict:
  config = model.config
  names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "layer_norm_epsilon")
  return {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    **{name: getattr(config, name) for name in names},
    "activation_function": "gelu_new",
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": config.bos_token_id,
    "eos_token_id": config.eos_token_id,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
  }
