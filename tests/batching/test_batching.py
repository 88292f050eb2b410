"""Batching: each target once, with its own context, in an order that follows from seed and epoch."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import encoded, split
from textloom.batching import batch as gathering
from textloom.batching import windows
from textloom.batching.batch import Batch, DeviceTokens
from textloom.batching.batches import training_batches
from textloom.batching.batching import Batching
from textloom.batching.documents import Documents
from textloom.batching.stream import Stream
from textloom.batching.windows import Windows
from textloom.config import DocumentsConfig, StreamConfig, WindowsConfig
from textloom.data.encoding import TokenSplit, load_splits
from textloom.errors import DataError, RunError
from textloom.evaluation.protocol_batches import EVALUATION_STEPS, validation_batches
from textloom.system.ranks import ALONE, Ranks
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer

END = -1


def tokens_of(lengths: list[int]) -> TokenSplit:
    """Documents whose tokens are all different: 100, 101, ... with END between them."""
    tokens, boundaries, following = [END], [0], 100
    for length in lengths:
        tokens += [*range(following, following + length), END]
        following += length
        boundaries.append(len(tokens) - 1)
    return TokenSplit(np.array(tokens), np.array(boundaries), sum(lengths), 0, 0.0)


def pairs(batch: Batch) -> list[tuple[int, int]]:
    """(the token read last, the target) of every target of a batch."""
    read = batch.inputs.flatten()
    read = read if batch.positions is None else read[batch.positions]
    return list(zip(read.tolist(), batch.targets.tolist(), strict=True))


def neighbours(part: TokenSplit) -> list[tuple[int, int]]:
    return sorted(zip(part.tokens[:-1].tolist(), part.tokens[1:].tolist(), strict=True))


def all_pairs(batching: Batching, epoch: int = 0) -> list[tuple[int, int]]:
    batches = list(batching.batches(epoch))
    assert len(batches) == len(batching)
    return [pair for batch in batches for pair in pairs(batch)]


CONFIGS = [
    WindowsConfig(kind="windows", context=3, stride=1, shortest_context=1),
    DocumentsConfig(kind="documents", steps=4),
    StreamConfig(kind="stream", steps=4, evaluation_rows=1),
    StreamConfig(kind="stream", steps=4, evaluation_rows=3),
]
WITH_ALL_TARGETS = WindowsConfig(kind="windows", context=3, stride=2, shortest_context=2, targets="all")


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.sampled_from(CONFIGS), st.integers(1, 5))
def test_every_token_of_an_evaluation_split_is_a_target_once_ragged_tail_included(
    lengths: list[int], config: WindowsConfig | DocumentsConfig | StreamConfig, batch_size: int
) -> None:
    part = tokens_of(lengths)
    assert sorted(all_pairs(validation_batches(config, part, batch_size))) == neighbours(part)


@given(st.lists(st.integers(1, 12), min_size=3, max_size=8), st.sampled_from(CONFIGS), st.integers(1, 3))
def test_an_epoch_of_training_has_every_target_once_too(
    lengths: list[int], config: WindowsConfig | DocumentsConfig | StreamConfig, batch_size: int
) -> None:
    part = tokens_of(lengths)
    for epoch in range(2):
        assert sorted(all_pairs(training_batches(config, part, batch_size, seed=1), epoch)) == neighbours(part)


@given(
    st.lists(st.integers(1, 12), min_size=4, max_size=8),
    st.sampled_from([*CONFIGS, WITH_ALL_TARGETS]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.booleans(),
)
def test_ranks_share_every_batch_of_the_whole_and_take_as_many_steps(
    lengths: list[int],
    config: WindowsConfig | DocumentsConfig | StreamConfig,
    batch_size: int,
    size: int,
    training: bool,
) -> None:
    part = tokens_of(lengths)

    def batches(ranks: Ranks, rows: int) -> list[Batch]:
        if training:
            return list(training_batches(config, part, rows, 1, ranks).batches(epoch=2))
        return list(validation_batches(config, part, size * batch_size, ranks.share).batches(epoch=0))

    if training and isinstance(config, StreamConfig) and size * batch_size > part.targets:
        return
    whole = batches(ALONE, size * batch_size)
    shares = [batches(Ranks(rank, size), batch_size) for rank in range(size)]
    for one, *parts in zip(whole, *shares, strict=True):
        assert sorted(pair for share in parts for pair in pairs(share)) == sorted(pairs(one))
        assert {share.targets_of_all_ranks for share in parts} == {len(one.targets)}
        assert {share.starts for share in parts} == {one.starts}
        rows = [len(share.inputs) for share in parts]
        assert sum(rows) == len(one.inputs)
        assert max(rows) - min(rows) <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64])
@pytest.mark.parametrize("config", [*CONFIGS, WITH_ALL_TARGETS])
@given(st.lists(st.integers(1, 12), min_size=4, max_size=8), st.integers(1, 4), st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_tokens_on_a_device_give_the_batches_of_the_host(
    config: WindowsConfig | DocumentsConfig | StreamConfig,
    dtype: type,
    lengths: list[int],
    batch_size: int,
    size: int,
) -> None:
    assert_same_batches(config, np.dtype(dtype), lengths, batch_size, size, torch.device("cpu"))


@pytest.mark.parametrize("config", [*CONFIGS, WITH_ALL_TARGETS])
@pytest.mark.parametrize("size", [1, 2])
def test_batches_gathered_several_at_a_time_are_those_gathered_one_by_one(
    config: WindowsConfig | DocumentsConfig | StreamConfig, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tokens_of([3, 9, 1, 7, 5, 30])
    several = list(training_batches(config, part, 2, 1, Ranks(size - 1, size)).batches(1))
    monkeypatch.setattr(gathering, "TOKENS_AT_ONCE", 1)
    alone = list(training_batches(config, part, 2, 1, Ranks(size - 1, size)).batches(1))
    assert len(several) > 3
    for one, other in zip(several, alone, strict=True):
        assert one.starts == other.starts
        assert (one.positions is None) == (other.positions is None)
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True) if isinstance(a, torch.Tensor))


@pytest.mark.gpu
@pytest.mark.parametrize("config", [*CONFIGS, WITH_ALL_TARGETS])
def test_tokens_on_a_gpu_give_the_batches_of_the_host(config: WindowsConfig | DocumentsConfig | StreamConfig) -> None:
    assert_same_batches(config, np.dtype(np.uint16), [3, 9, 1, 7, 5], 2, 1, torch.device("cuda"))


def assert_same_batches(
    config: WindowsConfig | DocumentsConfig | StreamConfig,
    dtype: np.dtype,
    lengths: list[int],
    batch_size: int,
    size: int,
    device: torch.device,
) -> None:
    part = tokens_of(lengths)
    top = np.iinfo(dtype).max if dtype != np.int64 else 1 << 40
    part = replace(part, tokens=(top - part.tokens.astype(np.int64) % 100).astype(dtype))  # the largest numbers
    ranks = Ranks(size - 1, size)
    if isinstance(config, StreamConfig) and batch_size * size > part.targets:
        return
    host, there = (training_batches(config, part, batch_size, 1, ranks) for _ in range(2))
    there.tokens = DeviceTokens(part.tokens, device)
    for ours, theirs in zip(host.batches(1), there.batches(1), strict=True):
        assert theirs.inputs.device.type == device.type
        assert ours._replace(inputs=None, targets=None, positions=None) == theirs._replace(
            inputs=None, targets=None, positions=None
        )
        assert torch.equal(ours.inputs, theirs.inputs.cpu())
        assert torch.equal(ours.targets, theirs.targets.cpu())
        assert (ours.positions is None) == (theirs.positions is None)
        if ours.positions is not None and theirs.positions is not None:
            assert torch.equal(ours.positions, theirs.positions.cpu())


@pytest.mark.parametrize("config", CONFIGS[:2])
def test_the_order_follows_from_seed_and_epoch(config: WindowsConfig | DocumentsConfig) -> None:
    part = tokens_of([5] * 20)
    first, again = (training_batches(config, part, 2, seed=1) for _ in range(2))
    assert all_pairs(first, 0) == all_pairs(again, 0)
    assert all_pairs(first, 0) != all_pairs(first, 1)
    assert all_pairs(first, 0) != all_pairs(training_batches(config, part, 2, seed=2), 0)


@pytest.mark.parametrize("config", [*CONFIGS, WITH_ALL_TARGETS])
def test_an_epoch_can_be_entered_at_any_batch(config: WindowsConfig | DocumentsConfig | StreamConfig) -> None:
    batching = training_batches(config, tokens_of([5, 9, 2, 7]), 2, seed=1)
    whole = list(batching.batches(3))
    for start in range(len(whole) + 1):
        rest = list(batching.batches(3, start))
        assert [pairs(batch) for batch in rest] == [pairs(batch) for batch in whole[start:]]


def test_a_window_shows_its_own_document_up_to_the_context_padded_on_the_right() -> None:
    (batch,) = Windows(tokens_of([4, 2]), 99, context=3).batches(0)
    rows = [(row[: length + 1].tolist(), target) for row, length, target in _windows(batch)]
    assert rows == [
        ([END], 100),
        ([END, 100], 101),
        ([END, 100, 101], 102),
        ([100, 101, 102], 103),
        ([101, 102, 103], END),
        ([END], 104),
        ([END, 104], 105),
        ([END, 104, 105], END),
    ]


def test_in_a_window_with_all_targets_each_token_predicts_the_next() -> None:
    part = tokens_of([4, 2])
    config = WindowsConfig(kind="windows", context=3, stride=1, shortest_context=2, targets="all")
    batching = training_batches(config, part, 99, seed=1)
    (batch,) = batching.batches(0)
    tokens = part.tokens.tolist()
    shown = [tokens[first : first + 4] for first in range(7)]  # across documents; the last one has two targets
    expected = [pair for window in shown for pair in pairwise(window)]
    assert sorted(pairs(batch)) == sorted(expected)
    assert batch.targets_of_all_ranks == len(batch.targets) == len(expected)
    assert batching.steps_per_target == 1


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 9), st.integers(1, 5))
@settings(deadline=None)
def test_windows_side_by_side_with_all_targets_are_those_of_validation(
    lengths: list[int], context: int, batch_size: int
) -> None:
    config = WindowsConfig(kind="windows", context=context, stride=context, shortest_context=1, targets="all")
    part = tokens_of(lengths)
    for batching in (training_batches(config, part, batch_size, seed=1), validation_batches(config, part, batch_size)):
        assert sorted(all_pairs(batching)) == neighbours(part)
        beginnings = {int(first) for batch in batching.batches(0) for first in batch.inputs[:, 0]}
        assert beginnings == {int(first) for first in part.tokens[:-1:context]}


def _windows(batch: Batch) -> list[tuple[torch.Tensor, int, int]]:
    assert batch.positions is not None
    last = batch.positions - torch.arange(len(batch.inputs)) * batch.inputs.shape[1]
    return list(zip(batch.inputs, last.tolist(), batch.targets.tolist(), strict=True))


def test_the_tutorials_window_deep_learn_asks_for_i(tmp_path: Path) -> None:
    corpus = split(["deep learning" * 20], 0.1, 0.0, 0)
    tokenizer = CharTokenizer.fit(corpus.splits["train"].texts(), lowercase=False)
    part = encoded(corpus, tokenizer, tmp_path)["train"]
    (batch,) = Windows(part, 1, context=10, stride=10**6, shortest_context=10).batches(0)
    # the first window of full length begins with the <eos> that stands before the text
    assert tokenizer.decode(batch.inputs[0].tolist()) == "deep lear"
    second = next(iter(Windows(part, 2, context=10, shortest_context=10).batches(0)))
    assert tokenizer.decode(second.inputs[1].tolist()) == "deep learn"
    assert tokenizer.decode(second.targets[1:].tolist()) == "i"


def test_stride_and_shortest_context_thin_the_training_windows() -> None:
    part = tokens_of([10])
    assert [target for _, target in all_pairs(Windows(part, 4, context=3, stride=4))] == [100, 104, 108]
    assert next(target for _, target in all_pairs(Windows(part, 4, context=3, shortest_context=3))) == 102


def test_documents_of_similar_length_share_a_batch_and_long_ones_continue_in_equal_pieces() -> None:
    batches = list(Documents(tokens_of([3, 9, 2, 10]), batch_size=2, steps=8).batches(0))
    assert [(tuple(batch.inputs.shape), batch.starts) for batch in batches] == [
        ((2, 6), True),
        ((2, 5), False),
        ((2, 4), True),
    ]


def test_the_pieces_of_a_long_document_differ_by_one_token_at_most() -> None:
    batches = Documents(tokens_of([32]), batch_size=1, steps=4).batches(0)  # 33 targets with <eos>
    assert [batch.inputs.shape[1] for batch in batches] == [4, 4, 4, 4, 4, 4, 3, 3, 3]


def test_stream_rows_continue_from_batch_to_batch() -> None:
    batches = list(Stream(tokens_of([11]), rows=2, steps=4).batches(0))
    assert [batch.starts for batch in batches] == [True, False]
    rows = torch.cat([batch.inputs for batch in batches], dim=1)
    assert rows.tolist() == [[END, 100, 101, 102, 103, 104], [105, 106, 107, 108, 109, 110]]


def test_no_validation_token_stands_in_any_training_window(tmp_path: Path) -> None:
    documents = [chr(0x4E00 + i) * 7 for i in range(50)]  # each of a character of its own
    corpus = split(documents, 0.2, 0.2, 0)
    splits = encoded(corpus, CharTokenizer.fit(documents, False), tmp_path)
    for config in CONFIGS:
        batches = training_batches(config, splits["train"], 4, seed=0)
        read = {
            token
            for batch in batches.batches(0)
            for token in [*batch.inputs.flatten().tolist(), *batch.targets.tolist()]
        }
        for name in ("val", "test"):
            assert not read & (set(splits[name].tokens.tolist()) - {0, 1})


def test_too_little_text_for_a_batch_is_reported() -> None:
    with pytest.raises(DataError, match=r"too few for 64 rows; lower trainer\.batch_size"):
        training_batches(CONFIGS[2], tokens_of([10]), 64, seed=0)
    with pytest.raises(DataError, match="has the 31 tokens of one window; lower batching"):
        training_batches(
            WindowsConfig(kind="windows", context=40, stride=1, shortest_context=30), tokens_of([10]), 4, 0
        )


def test_tokens_come_back_as_written_in_the_smallest_type(tmp_path: Path) -> None:
    corpus = split(["one two", "three", "four five six"], 0.3, 0.3, 0)
    written = encoded(corpus, ByteTokenizer(), tmp_path)
    opened = load_splits(tmp_path)
    for name, part in written.items():
        assert part.tokens.dtype == np.uint16
        assert isinstance(opened[name].tokens, np.memmap)
        assert np.array_equal(opened[name].tokens, part.tokens)
        assert ByteTokenizer().decode(part.tokens.tolist()) == "".join(corpus.splits[name].texts())
        assert part.characters == sum(map(len, corpus.splits[name].texts()))
        assert part.targets == sum(len(document) + 1 for document in corpus.splits[name].texts())


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    corpus = split(["aab" * 10 + "a?b??"], 0.2, 0.0, 0)
    splits = encoded(corpus, CharTokenizer.fit(corpus.splits["train"].texts(), False), tmp_path)
    assert (splits["train"].unknown, splits["val"].unknown) == (0, 3)


@pytest.mark.parametrize("damage", ["truncate", "remove", "header"])
def test_damaged_tokens_are_refused(tmp_path: Path, damage: str) -> None:
    encoded(split(["one two", "three", "four"], 0.3, 0.3, 0), ByteTokenizer(), tmp_path)
    path = tmp_path / "val.tokens"
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-2])
    elif damage == "remove":
        path.unlink()
    else:
        (tmp_path / "val.json").write_text("{}")
    with pytest.raises(RunError, match="train the run again"):
        load_splits(tmp_path)


@pytest.mark.parametrize("batch_size", [4, 7])
def test_very_many_windows_are_shuffled_in_stretches(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "SHUFFLED_AT_ONCE", 20)
    part = tokens_of([9, 30, 2, 44, 17])
    batching = Windows(part, batch_size, context=5, shuffle_seed=1)
    assert sorted(all_pairs(batching)) == neighbours(part)
    assert all_pairs(batching, 0) != all_pairs(batching, 1)
    whole = list(batching.batches(0))
    for start in range(len(whole) + 1):
        rest = list(batching.batches(0, start))
        assert [pairs(batch) for batch in rest] == [pairs(batch) for batch in whole[start:]]


def test_tokens_that_were_released_are_read_again(tmp_path: Path) -> None:
    part = encoded(split(["one two", "three", "four five six"], 0.3, 0.3, 0), ByteTokenizer(), tmp_path)["train"]
    before = part.tokens.tolist()
    part.release()
    assert part.tokens.tolist() == before
    assert part.read(1, 4).tolist() == before[1:4]
    tokens_of([3]).release()  # nothing is mapped there


RANDOM = StreamConfig(kind="stream", steps=40, evaluation_rows=1, random_steps=True)


class TestRandomLengths:
    """Merity et al. (2018), section 4.1."""

    @given(st.lists(st.integers(1, 90), min_size=3, max_size=9), st.integers(1, 3), st.integers(1, 3))
    def test_each_token_is_a_target_once_in_every_epoch_and_rows_go_on(
        self, lengths: list[int], batch_size: int, size: int
    ) -> None:
        part = tokens_of(lengths)
        if size * batch_size > part.targets:
            return
        batching = training_batches(RANDOM, part, size * batch_size, seed=1)
        for epoch in range(3):
            batches = list(batching.batches(epoch))
            assert len(batches) == batching.batches_in(epoch)
            assert sorted(pair for batch in batches for pair in pairs(batch)) == neighbours(part)
            shares = [training_batches(RANDOM, part, batch_size, 1, Ranks(rank, size)) for rank in range(size)]
            for one, *of_ranks in zip(batches, *(share.batches(epoch) for share in shares), strict=True):
                assert sorted(pair for share in of_ranks for pair in pairs(share)) == sorted(pairs(one))
                assert {share.relative_length for share in of_ranks} == {one.relative_length}

    def test_most_are_around_the_steps_some_around_half_and_none_is_very_short(self) -> None:
        batching = training_batches(RANDOM, tokens_of([400_000]), 1, seed=1)
        lengths = np.array([batch.inputs.shape[1] for batch in batching.batches(0)])[:-1]
        assert lengths.min() >= 5
        assert (lengths < 30).mean() == pytest.approx(0.95 * 0.023 + 0.05 * 0.977, abs=0.01)  # 2 deviations
        assert lengths[lengths >= 30].mean() == pytest.approx(40, abs=0.5)
        assert lengths[lengths >= 30].std() == pytest.approx(5, abs=0.5)
        relative = [batch.relative_length for batch in batching.batches(0)]
        assert relative[:-1] == [length / 40 for length in lengths]

    def test_an_epoch_can_be_entered_at_any_batch_and_each_cuts_at_other_places(self) -> None:
        batching = training_batches(RANDOM, tokens_of([700, 300]), 2, seed=1)
        whole = [pairs(batch) for batch in batching.batches(3)]
        for start in range(len(whole)):
            assert [pairs(batch) for batch in batching.batches(3, start)] == whole[start:]
        assert whole != [pairs(batch) for batch in batching.batches(4)]
        assert whole != [pairs(batch) for batch in training_batches(RANDOM, tokens_of([700, 300]), 2, 2).batches(3)]

    def test_evaluation_has_equal_lengths(self) -> None:
        batches = list(validation_batches(RANDOM, tokens_of([1300]), 2).batches(0))
        assert [batch.inputs.shape[1] for batch in batches[:-1]] == [EVALUATION_STEPS] * 2
        assert {batch.relative_length for batch in batches} == {1.0}
