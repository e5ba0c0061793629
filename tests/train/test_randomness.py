"""The streams of random numbers: the same key gives the same one, another key another."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from nin_onnx.train.randomness import Purpose, key, random_words, seeded

keys = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(Purpose), st.integers(0, 2**20), st.integers(0, 100))


def draw(*key: int) -> list[int]:
    seed, purpose, *position = key
    return torch.randint(2**31, (4,), generator=seeded(seed, Purpose(purpose), *position)).tolist()


@given(keys)
def test_a_key_gives_the_same_numbers_every_time(key: tuple[int, Purpose, int, int]) -> None:
    assert draw(*key) == draw(*key)


@given(keys, keys)
def test_keys_that_differ_give_different_numbers(
    one: tuple[int, Purpose, int, int], other: tuple[int, Purpose, int, int]
) -> None:
    assume(one != other)
    assert draw(*one) != draw(*other)


@pytest.mark.parametrize("other", [(8, 1, 5, 2), (7, 2, 5, 2), (7, 1, 6, 2), (7, 1, 5, 3), (7, 1, 2, 5)])
def test_seed_purpose_step_and_place_all_count(other: tuple[int, ...]) -> None:
    assert draw(7, 1, 5, 2) != draw(*other)


def test_the_first_numbers_of_neighboring_steps_are_uniform_and_independent() -> None:
    first = np.array([torch.rand((), generator=seeded(0, Purpose.AUGMENTATION, step)).item() for step in range(2000)])
    assert scipy.stats.kstest(first, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.08  # 3.5 standard errors


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    draw(7, 1, 5, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_of_a_stream_is_pinned_since_resumed_runs_rely_on_it() -> None:
    assert seeded(7, Purpose.ORDER, 5).initial_seed() == 542_184_245
    assert key(7, Purpose.DROPOUT, 5, 2) == -7_683_948_032_785_054_957


def splitmix64(state: int) -> Iterator[int]:
    """The generator as its authors wrote it, in whole numbers (Vigna, prng.di.unimi.it/splitmix64.c)."""
    mask = 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 50), st.integers(0, 50))
def test_words_are_those_of_splitmix64_from_any_place(start: int, first: int, count: int) -> None:
    expected = list(islice(splitmix64(start & (2**64 - 1)), first, first + count))
    assert [word & (2**64 - 1) for word in random_words(start, first, count, torch.device("cpu")).tolist()] == expected


def test_the_first_words_of_seed_1234567_are_the_published_ones() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [word & (2**64 - 1) for word in random_words(1234567, 0, 4, torch.device("cpu")).tolist()] == published
