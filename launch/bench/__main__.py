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


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"models": Models}, description=__doc__).run()
