"""The schema of the configs: one frozen model per group, one docstring with the unit per key.

YAML composes (see ``conf/``), this checks: no unknown key, every value in its bounds, and the groups fit each other.
"""

from textloom.config.commands import (
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    InspectConfig,
    PrepareConfig,
    ScoredTextConfig,
)
from textloom.config.data import (
    SOURCES,
    BatchingConfig,
    DataConfig,
    DocumentsConfig,
    StreamConfig,
    WindowsConfig,
)
from textloom.config.effects import Effect
from textloom.config.generation import GenerateConfig
from textloom.config.model import (
    CELLS,
    AWDLSTMConfig,
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    RNNConfig,
    TransformerConfig,
)
from textloom.config.ngram import NgramConfig
from textloom.config.optimizer import OPTIMIZERS, SCHEDULES, OptimizerConfig, ScheduleConfig
from textloom.config.section import Section
from textloom.config.serving import PlayConfig, ServeConfig
from textloom.config.source_keys import Bounds, RowKeys, SplitKeys
from textloom.config.sweep import SweepConfig
from textloom.config.tokenizer import TOKENIZERS, TokenizerConfig
from textloom.config.trainer import CheckpointEvery, SamplesConfig, TrainConfig, TrainerConfig, effect_of

__all__ = [
    "CELLS",
    "OPTIMIZERS",
    "SCHEDULES",
    "SOURCES",
    "TOKENIZERS",
    "AWDLSTMConfig",
    "BatchingConfig",
    "Bounds",
    "CheckpointEvery",
    "CompareConfig",
    "DataConfig",
    "DocumentsConfig",
    "Effect",
    "EvaluateConfig",
    "ExportConfig",
    "GRUConfig",
    "GenerateConfig",
    "InspectConfig",
    "LSTMConfig",
    "MinGRUConfig",
    "MinLSTMConfig",
    "ModelConfig",
    "MogrifierLSTMConfig",
    "NgramConfig",
    "OptimizerConfig",
    "PlayConfig",
    "PrepareConfig",
    "RNNConfig",
    "RowKeys",
    "SamplesConfig",
    "ScheduleConfig",
    "ScoredTextConfig",
    "Section",
    "ServeConfig",
    "SplitKeys",
    "StreamConfig",
    "SweepConfig",
    "TokenizerConfig",
    "TrainConfig",
    "TrainerConfig",
    "TransformerConfig",
    "WindowsConfig",
    "effect_of",
]
