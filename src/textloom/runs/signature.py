"""The signature of a trained model, by which stored states and generated texts refer to it."""

import hashlib
import json

import numpy as np

from textloom.models.language_model import LanguageModel
from textloom.tokenizers import Tokenizer

LENGTH = 32  # hexadecimal digits


def model_signature(model: LanguageModel, tokenizer: Tokenizer, window: int | None) -> str:
    """A hash of the weights, the tokenizer and the window; the same for a run and for an export of its checkpoint."""
    digest = hashlib.sha256(json.dumps([tokenizer.to_dict(), window], sort_keys=True).encode())
    for name, weight in sorted(model.weights().items()):
        array = np.ascontiguousarray(weight.cpu().numpy())
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:LENGTH]
