"""`python -m launch.bench NAME`: runs a benchmark, prints its table and writes it as Markdown and JSON."""

import dataclasses
from pathlib import Path

import tyro


@dataclasses.dataclass(frozen=True, kw_only=True)
class Models:
    """Our models beside their PyTorch references, forward and training step; needs the extra `import`.

    Attributes:
        only: measure the cases whose names contain this.
        pairs: how often ours and the reference take turns.
        out: folder for the table.
    """

    only: str = ""
    pairs: int = 7
    out: Path = Path("outputs/bench")

    def run(self) -> None:
        """Measures, prints, saves."""
        from launch.bench.models import CASES
        from launch.bench.timing import measure

        cases = {name: case for name, case in CASES.items() if self.only in name}
        if not cases:
            raise SystemExit(f"no case has {self.only!r} in its name; there are {', '.join(CASES)}")
        report = measure("Models beside their PyTorch references", cases, self.pairs)
        report.save(self.out, "models")
        print(report.markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """Anchored sampling beside MultiDiffusion and plain groups: time of a frame, chunk sizes, memory by length.

    Attributes:
        bundle: directory of a bundle, or the name of one in the package, whose denoiser is used.
        frames: frames of the videos that are timed.
        lengths: frames of the videos whose memory is measured.
        steps: denoising steps.
        group_batch: groups at once where memory is measured.
        turns: how often the methods take turns.
        out: folder for the tables.
    """

    bundle: str = "synthetic-128"
    frames: int = 96
    lengths: tuple[int, ...] = (25, 97, 385, 1537)
    steps: int = 2
    group_batch: int = 8
    turns: int = 5
    out: Path = Path("outputs/bench")

    def run(self) -> None:
        """Measures, prints, saves."""
        from adiff_jax.weights.bundle import Bundle
        from launch.bench import sampling

        bundle = Bundle.load(self.bundle)
        for name, measure in {
            "sampling_cost": lambda: sampling.costs(bundle, self.frames, self.steps, self.turns),
            "sampling_chunks": lambda: sampling.chunks(bundle, self.frames + 1, self.steps, self.turns),
            "sampling_memory": lambda: sampling.memory(
                bundle, self.bundle, list(self.lengths), self.steps, self.group_batch
            ),
        }.items():
            report = measure()
            report.save(self.out, name)
            print(report.markdown())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Preparation and loading: whose the time is, and how fast samples come in beside how fast training takes them.

    Attributes:
        videos: folder of videos that are prepared; without it some are drawn.
        drawn: how many, of how many frames, of how many pixels a side.
        bundle: directory of a bundle, or the name of one in the package, whose encoders are used.
        seconds: how long each loader is measured.
        out: folder for the tables.
    """

    videos: Path | None = None
    drawn: tuple[int, int, int] = (12, 100, 512)
    bundle: str = "synthetic-128"
    seconds: float = 10.0
    out: Path = Path("outputs/bench")

    def run(self) -> None:
        """Measures, prints, saves."""
        from launch.bench.data import measure

        for name, report in measure(self.videos, self.drawn, self.bundle, self.seconds).items():
            report.save(self.out, name)
            print(report.markdown())


if __name__ == "__main__":
    commands = {"models": Models, "sampling": Sampling, "data": Data}
    tyro.extras.subcommand_cli_from_dict(commands, description=__doc__).run()
