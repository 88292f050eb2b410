"""A GPU is never waited for within a step: on the meta device, which has shapes alone, reading a value is an error."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from conftest import compose_train
from textloom.batching.batch import Batch, DeviceTokens, Spans
from textloom.config import ModelConfig
from textloom.data.encoding import TokenSplit
from textloom.generation.sampling import Sampling, TokenSampler
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.training import loss
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule

META = torch.device("meta")
VOCABULARY = 90
TOKENS = np.arange(80, dtype=np.uint16)


@pytest.fixture(autouse=True)
def _without_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *rest, **named: nullcontext())  # this device has none
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *rest: False)
    monkeypatch.setattr(loss, "LOGITS_FOR_TORCH", {})


def built(*overrides: str) -> RecurrentLanguageModel:
    config = compose_train("model.units=16", *overrides).model
    assert isinstance(config, ModelConfig)
    return RecurrentLanguageModel(config, VOCABULARY).to(META)


def batches() -> list[Batch]:
    tokens, begins = DeviceTokens(TOKENS, META), np.array([0, 5, 9])
    lengths = [np.array([7, 7, 7]), np.array([7, 7, 3])]
    return [tokens.gather(Spans(begins, some, 7, last, True, 3)) for some in lengths for last in (False, True)]


@pytest.mark.parametrize("overrides", [[], ["model=gru"], ["model.embedding_dim=null"], ["model.layers=2"]])
def test_a_training_step_or_a_validation_step_reads_nothing_back(overrides: list[str]) -> None:
    config = compose_train(*overrides)
    part = TokenSplit(TOKENS, np.array([0, len(TOKENS) - 1]), len(TOKENS), 0, 0.0)
    meter = Meter(largest_loss=1e9)
    module = TrainingModule(built(*overrides), config.optimizer, config.schedule, 10, part, meter)
    module.trained = list(module.parameters())
    for index, batch in enumerate(batches()):
        module.training_step(batch, index).backward()
        module.configure_gradient_clipping(None, gradient_clip_val=1.0)
        module.validation_step(batch, index)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        meter.read(learning_rate=0.1)  # that is for the steps that are looked at


@pytest.mark.parametrize("window", [None, 6])
def test_a_token_is_drawn_without_reading_it_back(window: int | None) -> None:
    decoder = built().decoder(texts=2, window=window)
    sampler = TokenSampler([Sampling(0), Sampling(0.7, top_k=5, top_p=0.9)], VOCABULARY, META)
    tokens, uniforms = torch.zeros(2, dtype=torch.long, device=META), torch.zeros(2, 1, device=META)
    for _ in range(3):
        decoder.read(tokens)
        tokens = sampler.draw(decoder.score(), uniforms)
    assert tokens.shape == (2,)
