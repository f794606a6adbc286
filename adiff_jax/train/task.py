"""What the training loop needs to know of a task; the loop itself knows no model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import flax.struct
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt8

from adiff_jax.data.transforms import Transforms

Batch = Mapping[str, Array]
Params = Mapping[str, Any]


@flax.struct.dataclass
class Preview:
    """Pictures for a person to judge a run by.

    Attributes:
        pictures: a grid; if `fps` is given, its columns are the frames of videos.
        fps: frames a second.
    """

    pictures: UInt8[Array, "rows columns H W 3"]
    fps: float | None = flax.struct.field(pytree_node=False, default=None)


@runtime_checkable
class Task(Protocol):
    """A model, its loss and its data.

        source ──transforms──► batch ──loss(params, batch, keys)──► loss, metrics

    A task is a pytree: frozen weights are its leaves, so that the jitted step takes them as an argument; all else is
    static.

    Attributes:
        separable: whether the loss of a batch is the mean of the losses of its parts, so that gradients can be
            accumulated; False for contrastive losses.
    """

    separable: ClassVar[bool]

    def transforms(self, preview: bool = False) -> Transforms:
        """From a clip record to one element of a batch, in training or for `preview`."""
        ...

    def init(self, key: PRNGKeyArray, batch: Mapping[str, jax.ShapeDtypeStruct]) -> PyTree:
        """Parameters for batches of the given shapes."""
        ...

    def loss(
        self, params: Params, batch: Batch, keys: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Mapping[str, Float[Array, ""]]]:
        """The loss to minimise, a mean over the batch, and scalars to log.

        Args:
            params: the weights.
            batch: of `transforms()`.
            keys: one for each example [B]; what is random about an example follows from its key alone.
        """
        ...

    def preview(self, params: Params, batch: Batch, key: PRNGKeyArray) -> Preview:
        """Pictures made from a batch of `transforms(preview=True)`. Jittable."""
        ...

    def export(self, folder: Path, params: Params, batches: Iterable[Batch]) -> None:
        """Writes the trained parts of a bundle into `folder`; `batches` are for what is measured after training."""
        ...
