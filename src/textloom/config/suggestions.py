"""Suggestions for an unknown key: the names of other programs, and similar spellings."""

import difflib

SYNONYMS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("lr", "learningrate", "step_size", "base_lr", "max_lr"): ("learning_rate",),
    ("hidden", "hidden_size", "hidden_dim", "hidden_units", "num_units", "rnn_size", "n_hid", "nhid", "width"): (
        "units",
    ),
    ("num_layers", "n_layers", "nlayers", "n_layer", "depth"): ("layers",),
    ("embedding", "embedding_size", "emb_size", "embed_dim", "emb_dim", "emsize", "n_embd"): ("embedding_dim",),
    ("tied", "tie_weights", "tie", "weight_tying"): ("tied_weights",),
    ("dropout", "drop", "dropout_rate", "p"): ("output_dropout", "input_dropout", "layer_dropout"),
    ("variational", "variational_dropout", "lockdrop", "shared_dropout"): ("locked_dropout",),
    ("word_dropout", "dropoute", "token_dropout"): ("embedding_dropout",),
    ("alpha", "ar"): ("activation_regularization",),
    ("tar",): ("temporal_activation_regularization",),
    ("rdrop", "r_drop", "consistency"): ("consistency_regularization",),
    ("sampled_softmax", "num_sampled", "negative_samples", "nce_samples"): ("softmax_samples",),
    ("dropouti",): ("input_dropout",),
    ("dropouth",): ("layer_dropout",),
    ("epochs", "num_epochs", "n_epochs", "epoch", "num_train_epochs"): ("max_epochs",),
    ("iterations", "iters", "max_iters", "num_steps", "n_steps", "train_steps"): ("max_steps",),
    ("batch", "bs", "batchsize", "minibatch_size", "train_batch_size"): ("batch_size",),
    ("bptt", "seq_len", "seq_length", "sequence_length", "block_size", "context_length", "window", "window_size"): (
        "batching.steps",
        "batching.context",
    ),
    ("clip", "grad_clip", "clip_grad", "max_norm", "max_grad_norm", "gradient_clip"): ("gradient_clip_val",),
    ("wd", "l2", "decay"): ("weight_decay",),
    ("betas", "beta"): ("beta1", "beta2"),
    ("warmup",): ("warmup_steps",),
    ("patience", "early_stopping"): ("early_stopping_patience", "schedule.patience"),
    ("gpus", "num_gpus", "n_gpus"): ("devices",),
    ("gpu", "device", "cuda"): ("accelerator",),
    ("fp16", "bf16", "amp", "dtype"): ("precision",),
    ("random_seed", "manual_seed"): ("seed",),
    ("optim", "optimiser"): ("optimizer",),
    ("scheduler", "lr_scheduler", "lr_schedule"): ("schedule",),
    ("dataset", "corpus"): ("data",),
    ("arch", "architecture", "network", "rnn_type", "cell"): ("model",),
    ("vocab_size", "vocabulary_size", "max_vocab_size", "num_words"): ("maximum_size",),
    ("min_freq", "min_count", "min_frequency"): ("minimum_frequency",),
    ("lower", "lower_case", "do_lower_case", "uncased"): ("lowercase",),
    ("file", "files", "input", "data_path", "data_dir", "data_file", "train_file", "filename"): ("data.path", "run"),
    ("val_path", "valid_path", "dev_path", "val_file", "validation_file"): ("validation_path",),
    ("val_fraction", "val_split", "validation_split"): ("validation_fraction",),
    ("output_dir", "out_dir", "save_dir", "log_dir", "logdir", "out", "output"): ("to", "outputs", "name"),
    ("temperature", "temp"): ("temperature", "samples.temperatures"),
    ("num_samples", "n_samples", "samples", "n"): ("count",),
    ("tokens", "max_tokens", "max_new_tokens", "max_length", "num_tokens"): ("length", "samples.length"),
    ("ckpt", "checkpoint_path", "model_path", "dir", "directory", "run_dir"): ("run", "runs"),
    ("start", "seed_text", "prefix", "primetext", "text"): ("prompt", "samples.prompt"),
}
"""Names that other programs use, and the keys here; with their group if the last part is ambiguous."""

SAME_GROUP, ANYWHERE = 0.8, 0.5  # least similarity, from 0 to 1
MOST = 3


def nearest(name: str, options: list[str], similarity: float = ANYWHERE) -> str:
    """', did you mean X?' for the most similar option; empty if none reaches the similarity."""
    lowered = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=similarity)
    return _question([lowered[option] for option in close])


def nearest_key(key: str, known: list[str]) -> str:
    """', did you mean X?' for an unknown key: a synonym, a likely typo, or the same name in another group."""
    leaf = key.rpartition(".")[2].lower()
    meant = [name for others, names in SYNONYMS.items() if leaf in others for name in names]
    found = [option for name in meant for option in known if option == name or option.endswith(f".{name}")]
    close = difflib.get_close_matches(key, known, n=1, cutoff=SAME_GROUP)
    same = [option for option in known if option.rpartition(".")[2] == leaf]
    by_leaf = difflib.get_close_matches(leaf, [option.rpartition(".")[2] for option in known], 1, SAME_GROUP)
    others = [option for option in known if option.rpartition(".")[2] in by_leaf]
    anything = difflib.get_close_matches(key, known, n=1, cutoff=ANYWHERE)
    return _question(found or close or same or others or anything)


def _question(options: list[str]) -> str:
    *first, last = list(dict.fromkeys(options))[:MOST] or [""]
    return f", did you mean {', '.join(first)}{' or ' if first else ''}{last}?" if last else ""
