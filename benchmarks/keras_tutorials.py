"""The tutorials as they were published, in Keras: runs in a process of its own, told what to do line by line.

Nothing of textloom or torch is imported here. Each line of the standard input is a JSON object; what was measured
comes back as one on the standard output. Compiling and the first pass over the data are not counted.
"""

import json
import os
import sys
import time
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import numpy as np
import tensorflow
from keras import layers


def char_model(vocabulary_size: int, context: int, optimizer: str | keras.Optimizer = "adam") -> keras.Model:
    """The character tutorial: one-hot windows, LSTM, softmax."""
    model = keras.Sequential(
        [keras.Input((context, vocabulary_size)), layers.LSTM(128), layers.Dense(vocabulary_size, "softmax")]
    )
    model.compile(optimizer, "categorical_crossentropy")
    return model


def published_model(vocabulary_size: int, context: int) -> keras.Model:
    """The same as keras.io has it, examples/generative/lstm_character_level_text_generation."""
    return char_model(vocabulary_size, context, keras.optimizers.RMSprop(0.01))


def article_model(vocabulary_size: int, context: int) -> keras.Model:
    """The model of "Recurrent Neural Networks by Example in Python", trained embedding, as in its repository."""
    model = keras.Sequential(
        [
            keras.Input((context,)),
            layers.Embedding(vocabulary_size, 100, mask_zero=True),
            layers.LSTM(64, dropout=0.1, recurrent_dropout=0.1),
            layers.Dense(128, "relu"),
            layers.Dropout(0.5),
            layers.Dense(vocabulary_size, "softmax"),
        ]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def plain_model(vocabulary_size: int, context: int) -> keras.Model:
    """What textloom's tutorial trains: embedding, LSTM, softmax; targets as numbers, which Keras is faster with."""
    model = keras.Sequential(
        [
            keras.Input((context,)),
            layers.Embedding(vocabulary_size, 100, mask_zero=True),
            layers.LSTM(128),
            layers.Dense(vocabulary_size, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


MODELS = {"char": char_model, "published": published_model, "article": article_model, "plain": plain_model}


class Tutorial:
    """One of the models with its windows of token ids, (windows, context), and the token after each, (windows,)."""

    def __init__(self, kind: str, file: str, batch_size: int):
        content = np.load(file)
        size, context = int(content["vocabulary_size"]), content["inputs"].shape[1]
        self.inputs, self.targets, self.batch_size = content["inputs"], content["targets"], batch_size
        self.one_hot = kind in ("char", "published")
        if self.one_hot:
            self.inputs = np.eye(size, dtype=np.float32)[self.inputs]
        if kind != "plain":  # the tutorials turn the targets into one-hot vectors beforehand
            labels = np.zeros((len(self.targets), size), dtype=np.float32 if self.one_hot else np.int8)
            labels[np.arange(len(labels)), self.targets] = 1
            self.targets = labels
        self.model = MODELS[kind](size, context)

    def fit(self) -> dict[str, float]:
        """One pass over the windows."""
        began = time.perf_counter()
        self.model.fit(self.inputs, self.targets, batch_size=self.batch_size, epochs=1, verbose=0)
        return {"targets": len(self.targets), "seconds": time.perf_counter() - began}

    def generate(self, length: int) -> dict[str, float]:
        """``model.predict`` on the last window, a draw, the window moved on: as both tutorials do it."""
        window, generator = self.inputs[:1].copy(), np.random.default_rng(0)
        began = time.perf_counter()
        for _ in range(length):
            probabilities = self.model.predict(window, verbose=0)[0].astype("float64")
            token = int(generator.choice(len(probabilities), p=probabilities / probabilities.sum()))
            window = np.roll(window, -1, axis=1)
            window[0, -1] = np.eye(len(probabilities))[token] if self.one_hot else token
        return {"targets": length, "seconds": time.perf_counter() - began}


def main() -> None:
    """Answer until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints does not go between the answers
    threads = int(os.environ["OMP_NUM_THREADS"])
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(0)
    tutorials: dict[str, Tutorial] = {}
    print(json.dumps({"keras": keras.__version__, "tensorflow": tensorflow.__version__}), file=out, flush=True)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        kind = asked["kind"]
        if asked["do"] == "build":
            tutorials[kind] = Tutorial(kind, asked["file"], asked["batch_size"])
            answer = tutorials[kind].fit()
        elif asked["do"] == "fit":
            answer = tutorials[kind].fit()
        else:
            answer = tutorials[kind].generate(asked["length"])
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
