"""Which seed takes the place of one that collapsed."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nin_onnx.recipe import Recipe
from nin_onnx.train.task import Task, replace_collapsed


@pytest.mark.parametrize(
    ("owed", "dead", "used", "tries", "wanted"),
    [
        ([0, 1, 2], {1}, set(), 4, [0, 3, 2]),
        ([0, 1, 2], {0, 1, 3}, set(), 4, [4, 5, 2]),
        ([1], {1}, {0, 2}, 4, [3]),
        ([0], {0, 1, 2, 3, 4}, set(), 4, [3]),  # the fourth, which has died too
        ([0, 1], {0}, set(), 1, [0, 1]),
    ],
)
def test_the_next_unused_seed_takes_the_place_of_a_dead_one_up_to_a_number_of_tries(
    owed: list[int], dead: set[int], used: set[int], tries: int, wanted: list[int], tiny_recipe: Callable[..., Recipe]
) -> None:
    recipe = tiny_recipe()
    tasks = [Task(recipe, seed) for seed in owed]
    found = replace_collapsed(tasks, [(recipe, seed) for seed in dead], {("tiny", seed) for seed in used}, tries)
    assert [task.seed for task in found] == wanted


def test_a_seed_is_dead_for_the_recipe_that_it_died_by_only(tiny_recipe: Callable[..., Recipe]) -> None:
    tasks = [Task(tiny_recipe("optimizer.learning_rate=0.1"), 0)]
    assert replace_collapsed(tasks, [(tiny_recipe("optimizer.learning_rate=9"), 0)], (), 4) == tasks


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owed=st.integers(1, 4), tries=st.integers(1, 4), dead=st.sets(st.integers(0, 12)), one_more=st.integers(0, 12))
def test_one_more_death_never_takes_away_a_seed_that_lives(
    owed: int, tries: int, dead: set[int], one_more: int, tiny_recipe: Callable[..., Recipe]
) -> None:
    recipe = tiny_recipe()
    tasks = [Task(recipe, seed) for seed in range(owed)]

    def living(dead: set[int]) -> set[int]:
        return {task.seed for task in replace_collapsed(tasks, [(recipe, seed) for seed in dead], (), tries)} - dead

    assert living(dead) - {one_more} <= living(dead | {one_more})
