"""A run to be had, and which seed takes the place of one whose network died."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count

from nin_onnx.recipe import Recipe

__all__ = ["Task", "replaced"]


@dataclass(frozen=True)
class Task:
    """A run to be had."""

    recipe: Recipe
    seed: int

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-seed{self.seed}"


def replaced(
    tasks: Sequence[Task], dead: Collection[tuple[Recipe, int]], used: Collection[tuple[str, int]], tries: int
) -> list[Task]:
    """Return `tasks` with the next unused seed of the recipe in place of each dead one, up to `tries` seeds for a task.

    One more collapse never takes away a seed that lives: what runs stays wanted. The same collapses give the same seeds.
    """
    taken = {*used, *((task.recipe.name, task.seed) for task in tasks)}
    wanted = []
    for task in tasks:
        tried = 1
        while tried < tries and (task.recipe, task.seed) in dead:
            task = Task(task.recipe, next(seed for seed in count() if (task.recipe.name, seed) not in taken))
            taken.add((task.recipe.name, task.seed))
            tried += 1
        wanted.append(task)
    return wanted
