"""Each sampling option does what its paper or transformers says, row by row."""

import math

import numpy as np
import pytest
import torch

from textloom.generation.sampling import Sampling, TokenRules, TokenSampler, text_seeds

CPU = torch.device("cpu")
LOGITS = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5])


def drawn(sampling: Sampling, logits: torch.Tensor = LOGITS, draws: int = 5000) -> set[int]:
    sampler = TokenSampler([sampling], len(logits), CPU)
    return set(sampler.draw(logits.expand(draws, -1), sampler.uniforms([0], draws)[:, 0]).tolist())


def adjusted(sampling: Sampling, logits: list[float], read: list[int], written: list[int]) -> list[float]:
    """The logits after a prompt was read and some tokens were drawn."""
    sampler = TokenSampler([sampling], len(logits), CPU)
    sampler.begin([read])
    for token in written:
        for adjustment in sampler._adjustments:
            adjustment.note(torch.tensor([token]))
    return [round(number, 4) for number in sampler.adjusted(torch.tensor([logits]))[0].tolist()]


def test_min_p_keeps_a_share_of_the_highest_probability() -> None:
    probabilities = LOGITS.softmax(0)
    for share in (0.0, 0.1, 0.2, 0.3, 1.0):
        kept = {token for token in range(5) if probabilities[token] >= share * probabilities.max()}
        assert drawn(Sampling(min_p=share)) == kept


def test_typical_p_keeps_the_tokens_of_most_typical_information() -> None:
    """Against the definition in Meister et al. (2023), section 4.1, computed in another way."""
    probabilities = LOGITS.double().softmax(0).numpy()
    entropy = -(probabilities * np.log(probabilities)).sum()
    order = np.argsort(np.abs(-np.log(probabilities) - entropy))
    for mass in (0.1, 0.3, 0.6, 0.9):
        kept, total = set[int](), 0.0
        for token in order:
            if total < mass:
                kept.add(int(token))
                total += probabilities[token]
        assert drawn(Sampling(typical_p=mass)) == kept
    assert drawn(Sampling(typical_p=1.0)) == {0, 1, 2, 3, 4}


def test_typical_p_may_leave_out_the_likeliest_token() -> None:
    logits = torch.tensor([0.4, 0.15, 0.15, 0.15, 0.15]).log()
    assert 0 not in drawn(Sampling(typical_p=0.4), logits)
    assert drawn(Sampling(typical_p=0.4, top_k=1), logits) == {0}  # after top_k, as in transformers


def test_the_repetition_penalty_divides_or_multiplies_what_was_read_or_written() -> None:
    sampling = Sampling(repetition_penalty=2.0)
    assert adjusted(sampling, [1.0, -1.0, 3.0, 0.5], read=[0, 1], written=[2]) == [0.5, -2.0, 1.5, 0.5]


def test_presence_and_frequency_count_what_was_written() -> None:
    sampling = Sampling(presence_penalty=0.5, frequency_penalty=0.25)
    assert adjusted(sampling, [1.0, 1.0, 1.0], read=[2, 2], written=[0, 1, 1]) == [0.25, 0.0, 1.0]


@pytest.mark.parametrize(("size", "banned"), [(1, {0, 1, 2}), (2, {2}), (3, {2}), (4, set())])
def test_no_ngram_is_written_twice(size: int, banned: set[int]) -> None:
    sampling = Sampling(no_repeat_ngram_size=size)
    found = adjusted(sampling, [1.0] * 4, read=[0, 1, 2], written=[0, 1])
    assert {token for token, number in enumerate(found) if number == -math.inf} == banned


def test_a_banned_sequence_is_never_completed_and_a_bias_is_added() -> None:
    rules = TokenRules(end_id=4, banned=((3,), (0, 1)), bias=((2, 1.5),))
    sampler = TokenSampler([Sampling()] * 2, 5, CPU, rules)
    sampler.begin([[0], [1]])
    found = sampler.adjusted(torch.zeros(2, 5))
    assert found.tolist() == [[0.0, -math.inf, 1.5, -math.inf, 0.0], [0.0, 0.0, 1.5, -math.inf, 0.0]]


def test_a_text_ends_if_nothing_else_may_be_written() -> None:
    sampler = TokenSampler([Sampling()], 3, CPU, TokenRules(end_id=2, banned=((0,), (1,))))
    sampler.begin([[]])
    logits = torch.tensor([[1.0, 1.0, -math.inf]])
    assert sampler.draw(logits, torch.tensor([[0.9]])).tolist() == [2]


def test_each_row_has_its_own_penalties() -> None:
    samplings = [Sampling(), Sampling(0, presence_penalty=9.0), Sampling(no_repeat_ngram_size=1), Sampling(0)]
    sampler = TokenSampler(samplings, 3, CPU)
    sampler.begin([[]] * 4)
    logits = torch.tensor([2.0, 1.0, 0.0]).expand(4, -1)
    steps = [sampler.draw(logits, torch.zeros(4, 1)).tolist() for _ in range(3)]
    assert [list(row) for row in zip(*steps, strict=True)] == [[0, 0, 0], [0, 1, 2], [0, 1, 2], [0, 0, 0]]


def test_the_usual_options_keep_no_history() -> None:
    assert not TokenSampler([Sampling(0.7, top_k=5, top_p=0.9, min_p=0.1, typical_p=0.9)], 9, CPU).remembers


def test_each_text_has_a_seed_of_its_own_that_stays_when_there_are_more() -> None:
    seeds = text_seeds(5, 100)
    assert seeds[0] == 5
    assert len(set(seeds)) == 100
    assert max(seeds) < 2**53  # which every reader of JSON keeps
    assert text_seeds(5, 3) == seeds[:3]
    assert text_seeds(None, 1) != text_seeds(None, 1)
    sampler = TokenSampler([Sampling()], 3, CPU)
    together = TokenSampler([Sampling()] * 100, 3, CPU).uniforms(seeds, 10)
    assert torch.equal(sampler.uniforms([seeds[7]], 10)[:, 0], together[:, 7])
    assert torch.equal(torch.cat(list(sampler.uniform_blocks([3], 10, block=4))), sampler.uniforms([3], 10))
