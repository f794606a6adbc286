"""Trains one component in rounds of the one training loop, and keeps the one that does best on held-out frames."""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import ml_collections

from adiff_jax.train.loop import train

Score = Callable[[Path, int], float]
"""How good a component is, given its folder and the step: more is better."""


class Stopped(Exception):
    """A signal stopped the run; what it did is kept."""


@dataclasses.dataclass(frozen=True)
class Course:
    """How the training of a component went; the first score is that of the component it began with.

    Attributes:
        steps: at which it was scored.
        scores: in dB.
        seconds: that it took.
    """

    steps: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    seconds: float = 0.0

    @property
    def best(self) -> int:
        """The step with the best score, the first one if several are."""
        return self.steps[max(range(len(self.scores)), key=self.scores.__getitem__)]

    @property
    def rounds_without_gain(self) -> int:
        """How many of the last scores are no better than the best one before."""
        best = max(range(len(self.scores)), key=self.scores.__getitem__)
        return len(self.scores) - 1 - best

    def ends(self, seconds: float, patience: int) -> bool:
        """Whether no more rounds are to come: the time is over, or too many were without gain."""
        return bool(self.steps) and (self.seconds >= seconds or self.rounds_without_gain >= patience)

    @classmethod
    def read(cls, path: Path) -> "Course":
        """The course noted in a file; an empty one if there is none."""
        if not path.is_file():
            return cls()
        fields = json.loads(path.read_text(encoding="utf-8"))
        return cls(**fields | {"steps": tuple(fields["steps"]), "scores": tuple(fields["scores"])})

    def write(self, path: Path) -> None:
        """Notes the course in a file, whole or not at all."""
        draft = path.with_name(path.name + ".part")
        draft.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")
        os.replace(draft, path)


def train_in_rounds(
    config: ml_collections.ConfigDict,
    folder: Path,
    component: str,
    start: Path,
    score: Score,
    *,
    seconds: float,
    steps: int,
    patience: int,
    tell: Callable[[str], None],
) -> tuple[Path, Course]:
    """Trains until the time is over or held-out frames gain no more.

    Called again, it goes on where it stopped, also with more time than before.

    Args:
        config: of the training; its number of steps is set here.
        folder: run directory of the loop, and what is kept here: the course, the best component.
        component: name of the folder in `export/` that the loop writes.
        start: the component it begins with; `config.init_from` is set to it.
        score: judges components.
        seconds: after which no new round begins.
        steps: of a round.
        patience: rounds without gain after which it ends.
        tell: takes lines for the user.

    Returns:
        The best component's folder, `start` if none was better, and the course.

    Raises:
        Stopped: by a signal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note, best = folder / "course.json", folder / "best"
    course = Course.read(note)
    config.init_from = str(start)
    while not course.ends(seconds, patience):
        begin = time.monotonic()
        step = course.steps[-1] + steps if course.steps else 0
        if step:
            config.steps = step
            if not train(config, folder):
                raise Stopped
        judged = folder / "export" / component if step else start
        course = dataclasses.replace(course, steps=(*course.steps, step), scores=(*course.scores, score(judged, step)))
        if step and course.best == step:
            keep(judged, best)
        course = dataclasses.replace(course, seconds=course.seconds + time.monotonic() - begin)
        course.write(note)
        tell(
            f"{component}, step {step}: {course.scores[-1]:.2f} dB on held-out frames, best {max(course.scores):.2f} "
            f"({course.seconds / 60:.1f} of {seconds / 60:.1f} minutes)"
        )
    return (best if course.best else start), course


def keep(component: Path, best: Path) -> None:
    """Puts a copy of a component in the place of the best one."""
    draft, old = best.with_name("best.part"), best.with_name("best.old")
    for folder in (draft, old):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(component, draft)
    if best.exists():
        best.rename(old)
    draft.rename(best)
    shutil.rmtree(old, ignore_errors=True)
