"""An identity network's training: two chips of a person are nearer to each other than to anybody else's."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float, PRNGKeyArray

from adiff_jax.data.pairs import identity_transforms
from adiff_jax.data.source import ClipSource
from adiff_jax.data.transforms import Transforms
from adiff_jax.models.identity import IdentityConfig, IdentityNetwork
from adiff_jax.train.task import Batch, Params, Preview
from adiff_jax.train.tasks.clip import cross_entropy
from adiff_jax.train.tasks.pictures import as_bytes
from adiff_jax.weights.bundle import save_component


@flax.struct.dataclass
class IdentityTask:
    """Symmetric InfoNCE between the first and the second chips of a batch of persons (Chen et al. 2020, 2002.05709).

    Batches: `pair` [B, 2, H, W, 3] in [-1, 1]. Every clip is another person.
    """

    model: IdentityNetwork = flax.struct.field(pytree_node=False)
    temperature: float = flax.struct.field(pytree_node=False)
    separable: ClassVar[bool] = False

    @classmethod
    def create(cls, config: ml_collections.ConfigDict, source: ClipSource, workdir: Path) -> "IdentityTask":
        """From a config with `model` (`IdentityConfig`) and `loss.temperature`."""
        return cls(model=IdentityNetwork(IdentityConfig(**config.model)), temperature=config.loss.temperature)

    def transforms(self, preview: bool = False) -> Transforms:
        """Pairs of chips, changed a little in training."""
        config = self.model.config
        return identity_transforms(config.image_size, config.padding, augment=not preview)

    def init(self, key: PRNGKeyArray, batch: Mapping[str, jax.ShapeDtypeStruct]) -> Params:
        """Parameters of the network."""
        side = self.model.config.image_size
        return self.model.init(key, jnp.zeros((1, side, side, 3)))["params"]

    def loss(
        self, params: Params, batch: Batch, keys: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Mapping[str, Float[Array, ""]]]:
        """The contrastive loss; logs `accuracy`, the share of chips whose nearest in the other half is their twin."""
        logits = self._cosines(params, batch) / self.temperature
        twins = jnp.eye(len(logits))
        loss = 0.5 * (cross_entropy(logits, twins) + cross_entropy(logits.T, twins))
        return loss, {"accuracy": (logits.argmax(-1) == jnp.arange(len(logits))).mean()}

    def preview(self, params: Params, batch: Batch, key: PRNGKeyArray) -> Preview:
        """Two rows: chips, and the nearest of the others to each."""
        first, second = batch["pair"][:, 0], batch["pair"][:, 1]
        return Preview(as_bytes(jnp.stack([first, second[self._cosines(params, batch).argmax(-1)]])))

    def export(self, folder: Path, params: Params, batches: Iterable[Batch]) -> None:
        """Writes `identity/`."""
        save_component(folder / "identity", self.model.config, params, "float16")

    def _cosines(self, params: Params, batch: Batch) -> Float[Array, "B B"]:
        """Between the first chips (rows) and the second (columns)."""
        chips = jnp.concatenate([batch["pair"][:, 0], batch["pair"][:, 1]])
        first, second = jnp.split(self.model.apply({"params": params}, chips), 2)
        return first @ second.T
