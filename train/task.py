"""Trainings that are to be run, and the seeds that take the place of those that collapsed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count

from nin_onnx.recipe import Recipe

__all__ = ["Task", "replace_collapsed"]


@dataclass(frozen=True)
class Task:
    """A training that is to be run."""

    recipe: Recipe
    seed: int

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-seed{self.seed}"


def replace_collapsed(
    tasks: Sequence[Task], collapsed: Collection[tuple[Recipe, int]], used: Collection[tuple[str, int]], tries: int
) -> list[Task]:
    """Return `tasks` with the next unused seed of the recipe in place of each collapsed one, up to `tries` seeds for a task.

    A later collapse never changes the seed of another task, which may be running. The same collapses give the same seeds.
    """
    taken = {*used, *((task.recipe.name, task.seed) for task in tasks)}
    wanted = []
    for task in tasks:
        tried = 1
        while tried < tries and (task.recipe, task.seed) in collapsed:
            task = Task(task.recipe, next(seed for seed in count() if (task.recipe.name, seed) not in taken))
            taken.add((task.recipe.name, task.seed))
            tried += 1
        wanted.append(task)
    return wanted
