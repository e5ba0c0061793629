"""The streams of random numbers: the same key gives the same one, another key another."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from nin_onnx.train.randomness import Purpose, reseed, seeded

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


def test_a_generator_that_is_set_back_forgets_what_it_gave_before() -> None:
    generator = torch.Generator()
    torch.rand(1000, generator=generator)
    reseed(generator, 7, Purpose.DROPOUT, 5, 2)
    assert torch.randint(2**31, (4,), generator=generator).tolist() == draw(7, Purpose.DROPOUT, 5, 2)


def test_the_first_numbers_of_neighbouring_steps_are_uniform_and_independent() -> None:
    first = np.array([torch.rand((), generator=seeded(0, Purpose.AUGMENTATION, step)).item() for step in range(2000)])
    assert scipy.stats.kstest(first, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.08  # 3.5 standard errors


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    draw(7, 1, 5, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_of_a_stream_is_pinned_since_resumed_runs_rely_on_it() -> None:
    assert seeded(7, Purpose.DROPOUT, 5, 2).initial_seed() == 3_108_569_875
