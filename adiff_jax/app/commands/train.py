"""`adiff train`."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Trains a model from a config; see `adiff train --help`. An entry in the list only: absl parses its options."""
