"""Completions, with the official client of OpenAI: each text is the one that is drawn alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import textloom
from conftest import train_run
from running_server import Running, serve, server, stream_run
from textloom.runs.run import Run

PROMPTS = ["deep learn", "the network ", "a", "", "a letter is make work the letter " * 12]


def test_a_completion_is_the_text_that_generate_draws(server: Running, stream_run: Run) -> None:
    run = textloom.load(stream_run.directory)
    own = {"repetition_penalty": 1.2, "typical_p": 0.9}
    for keys, others in (
        ({"temperature": 0.8}, {}),
        ({"temperature": 0.0}, {}),
        ({"temperature": 1.0, "top_p": 0.5}, {}),
        ({"temperature": 0.8, "presence_penalty": 0.7, "frequency_penalty": 0.3}, own),
    ):
        answer = server.complete(max_tokens=30, seed=3, **keys, extra_body=others)
        assert "deep learn" + answer.choices[0].text == run.generate("deep learn", 30, seed=3, **keys, **others)
        assert answer.usage.completion_tokens == 30
        assert answer.usage.prompt_tokens == 10


def test_texts_beside_others_are_those_drawn_alone_to_the_last_digit(server: Running) -> None:
    """40 requests for 8 rows, of other prompts, lengths, temperatures and seeds: texts and log-probabilities."""
    asked: list[dict[str, Any]] = [
        {
            "prompt": PROMPTS[number % 5],
            "max_tokens": 1 + 7 * (number % 6),
            "seed": number,
            "temperature": (0.0, 0.7, 1.3)[number % 3],
            "top_p": (1.0, 0.6)[number % 2],
            "logprobs": 2 if number % 4 == 0 else None,
            "presence_penalty": (0.0, 0.9)[number % 7 == 0],
        }
        for number in range(40)
    ]
    alone = [server.complete(**one).choices for one in asked]
    with ThreadPoolExecutor(20) as pool:
        together = [*pool.map(lambda one: server.complete(**one).choices, asked)]
    assert together == alone
    assert len({choices[0].text for choices in alone}) > 20


def test_a_stream_brings_the_same_text_in_pieces(server: Running) -> None:
    keys = {"max_tokens": 300, "seed": 5, "stop": ["zzz", "q"]}
    whole = server.complete(**keys)
    parts = [*server.complete(**keys, stream=True, stream_options={"include_usage": True})]
    assert "".join(part.choices[0].text for part in parts[:-1]) == whole.choices[0].text
    assert [part.choices[0].finish_reason for part in parts[-2:-1]] == [whole.choices[0].finish_reason]
    assert parts[-1].usage == whole.usage


def test_a_text_ends_before_its_stop(server: Running) -> None:
    (free,) = server.complete(max_tokens=60, seed=1).choices
    stop = free.text[20:23]
    (cut,) = server.complete(max_tokens=60, seed=1, stop=stop).choices
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert free.finish_reason == "length"


def test_several_texts_of_several_prompts_have_seeds_that_give_them_again(server: Running) -> None:
    answer = server.complete(["deep", "the "], n=3, max_tokens=20, seed=9, echo=True)
    assert [choice.index for choice in answer.choices] == [*range(6)]
    assert [choice.text.startswith("deep") for choice in answer.choices] == [True] * 3 + [False] * 3
    assert len({choice.text for choice in answer.choices}) == 6
    assert answer.choices[0].seed == 9
    again = server.complete("the ", max_tokens=20, seed=answer.choices[4].seed, echo=True)
    assert again.choices[0].text == answer.choices[4].text


def test_log_probabilities_are_those_of_the_model(server: Running) -> None:
    (choice,) = server.complete(max_tokens=12, seed=2, logprobs=3).choices
    found = choice.logprobs
    assert "".join(found.tokens) == choice.text
    assert found.text_offset == [*range(len(choice.text))]
    for token, logprob, likeliest in zip(found.tokens, found.token_logprobs, found.top_logprobs, strict=True):
        assert len(likeliest) == 3
        assert logprob <= 1e-6
        assert likeliest.get(token, logprob) == logprob
        assert max(likeliest.values()) >= logprob
    streamed = [*server.complete(max_tokens=12, seed=2, logprobs=3, stream=True)]
    assert [token for part in streamed for token in part.choices[0].logprobs.tokens] == found.tokens


def test_a_prompt_is_echoed_with_its_log_probabilities_and_what_is_expected_after_it(server: Running) -> None:
    text = PROMPTS[-1]
    keys: dict[str, Any] = {"logprobs": 3, "extra_body": {"return_token_ids": True}, "seed": 2}
    echoed = server.complete(text, max_tokens=5, echo=True, **keys).choices[0]
    (new,) = server.complete(text, max_tokens=5, **keys).choices
    found, tokens = echoed.logprobs, len(text)
    assert echoed.text == text + new.text == "".join(found.tokens)
    assert found.text_offset == [*range(tokens + 5)]
    assert found.token_logprobs[tokens:] == new.logprobs.token_logprobs
    scored = server.post("/score", input=text).json()
    assert -sum(found.token_logprobs[:tokens]) == pytest.approx(scored["nats"], rel=1e-5)
    assert [one["id"] for one in found.content][:tokens] == server.models[server.name].prompt_ids(text)
    expected = {one["token"]: one["logprob"] for one in found.next_logprobs}
    assert expected == pytest.approx(new.logprobs.top_logprobs[0], abs=0.02)  # without <unk>, which is never drawn
    (alone,) = server.complete(text, max_tokens=0, **keys).choices
    assert (alone.text, alone.logprobs.tokens) == ("", [])
    assert {one["token"]: one["logprob"] for one in alone.logprobs.next_logprobs} == pytest.approx(expected, abs=1e-5)
    parts = [*server.complete(text, max_tokens=5, echo=True, stream=True, **keys)]
    assert [token for part in parts for token in part.choices[0].logprobs.tokens] == found.tokens


def test_penalties_count_what_was_drawn_in_turns_before(server: Running, stream_run: Run) -> None:
    run, keys = textloom.load(stream_run.directory), {"temperature": 1.0, "frequency_penalty": 0.2}
    answer = server.complete(max_tokens=600, seed=8, **keys)  # a turn has at most 128 steps
    assert "deep learn" + answer.choices[0].text == run.generate("deep learn", 600, seed=8, **keys)


def test_a_bias_bans_a_token_and_the_best_of_several_texts_are_returned(server: Running) -> None:
    (letter,) = server.models[server.name].prompt_ids("e")
    plain, biased = (server.complete(max_tokens=80, seed=1, logit_bias=bias) for bias in ({}, {str(letter): -100}))
    assert "e" in plain.choices[0].text
    assert "e" not in biased.choices[0].text
    drawn = server.complete(max_tokens=20, seed=4, n=4, logprobs=0).choices
    ranked = sorted(drawn, key=lambda choice: -sum(choice.logprobs.token_logprobs) / len(choice.logprobs.tokens))
    best = server.complete(max_tokens=20, seed=4, n=2, best_of=4)
    assert [choice.text for choice in best.choices] == [choice.text for choice in ranked[:2]]
    assert [choice.index for choice in best.choices] == [0, 1]
    assert best.usage.completion_tokens == sum(len(choice.logprobs.tokens) for choice in drawn)


def test_tokens_are_a_prompt_too(server: Running) -> None:
    ids = server.models[server.name].prompt_ids("deep learn")
    texts = [server.complete(prompt, max_tokens=9, seed=1).choices[0].text for prompt in ("deep learn", ids, [ids])]
    assert len(set(texts)) == 1
    with pytest.raises(openai.BadRequestError, match="there is no token 100000"):
        server.complete([100000])


def test_the_models_are_listed(server: Running) -> None:
    (model,) = server.client.models.list()
    assert model.id == server.name == "tiny"
    assert server.client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError, match="there is no model 'large'; there is tiny"):
        server.client.models.retrieve("large")
    with pytest.raises(openai.NotFoundError) as caught:
        server.client.completions.create(model="large", prompt="deep")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_tokens": "7"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"max_tokens": 5000}, "max_tokens: 5000 tokens, and there may be 4096"),
        ({"temperature": 3}, "temperature: Input should be less than or equal to 2"),
        ({"prompt": 5}, "prompt: Input should be a valid string"),
        ({"stop": ""}, "stop: an empty text is everywhere"),
        ({"stop": ["a", "b" * 257]}, "stop: String should have at most 256 characters"),
        ({"n": 200}, "n: Input should be less than or equal to 128"),
        ({"prompt": ["a"] * 70, "n": 2}, "n: 140 texts, and there may be 128"),
        ({"best_of": 2, "n": 3}, "best_of: 2 texts, of which 3 are wanted"),
        ({"best_of": 2, "stream": True}, "best_of: the best texts are known at the end"),
        ({"logit_bias": {"3000": 1}}, "logit_bias: there is no token 3000"),
        ({"logit_bias": {"e": 1}}, "logit_bias: "),
        ({"presence_penalty": 3}, "presence_penalty: Input should be less than or equal to 2"),
        ({"prompt": "a" * 20_000, "echo": True, "logprobs": 1}, "echo: 20000 tokens with log-probabilities, and there"),
        ({"extra_body": {"beams": 4}}, "beams: there is no such parameter"),
        ({"prompt": "a" * 70_000}, "prompt: 70000 tokens, and there may be 65536"),
    ],
)
def test_a_wrong_parameter_is_named(server: Running, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        server.complete(**({"prompt": "deep"} | keys))
    assert message in str(caught.value)
    assert caught.value.param == message.partition(":")[0]
    assert server.complete(max_tokens=1).choices


def test_a_model_of_windows_is_served_as_generate_draws_it(serve: Callable[..., Running], tmp_path: Path) -> None:
    trained = train_run(tmp_path / "windows", "batching=windows", "batching.context=6", "trainer.max_steps=20")
    run, server = textloom.load(trained.directory), serve(run=str(trained.directory))
    assert server.models[server.name].window == 6
    prompts = ["de", "deep learning is the answer"]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda seed: server.complete(prompts[seed % 2], max_tokens=30, seed=seed), range(16))
        texts = [answer.choices[0].text for answer in answers]
    for seed, text in enumerate(texts):
        assert prompts[seed % 2] + text == run.generate(prompts[seed % 2], 30, seed=seed, temperature=1.0)
