"""What the parity tests share: references in PyTorch with random weights, and how far ours is from them."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import torch
from flax.traverse_util import flatten_dict

FLOAT32 = 1e-4  # largest difference over the reference's standard deviation
BFLOAT16 = 2e-2  # norm of the difference over the reference's: 8 bits of mantissa


def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Moves every vector away from the zeros and ones of initialisation, so that none can be mistaken or forgotten."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def arrays(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, np.ndarray]:
    """Named tensors as NumPy arrays."""
    return {name: tensor.detach().float().numpy() for name, tensor in tensors}


def gradients(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """The gradient of every parameter under its name; a shared parameter is there under each of its names."""
    named = model.named_parameters(remove_duplicate=False)
    return arrays((name, value.grad) for name, value in named if value.grad is not None)


def channels_last(images: torch.Tensor) -> np.ndarray:
    """[B, C, H, W] as [B, H, W, C]."""
    return images.detach().movedim(1, -1).numpy()


def channels_first(images: np.ndarray) -> torch.Tensor:
    """[B, H, W, C] as [B, C, H, W]."""
    return torch.from_numpy(np.array(np.moveaxis(images, -1, 1)))


def check(what: str, value: float, limit: float) -> None:
    """Holds a measured difference to its limit; `pytest -rP` shows what was measured."""
    print(f"{what}: {value:.1e}, at most {limit:.0e}")
    assert value <= limit, what


def difference(ours: Any, reference: Any) -> float:
    """Largest difference over the reference's standard deviation."""
    reference = np.asarray(reference)
    return float(np.abs(np.asarray(ours) - reference).max() / reference.std())


def relative_error(ours: Any, reference: Any) -> float:
    """Norm of the difference over the norm of the reference."""
    return float(np.linalg.norm(np.asarray(ours, np.float32) - reference) / np.linalg.norm(reference))


def check_gradients(ours: Mapping[str, Any], reference: Mapping[str, Any], limit: float = FLOAT32) -> None:
    """Holds the largest difference of any tensor's gradient, over the reference's root mean square, to its limit.

    The mean is over what is not zero: of a table of embeddings few rows are read. What is below a hundredth of the
    typical gradient is measured against that: the gradient of a key's bias is zero, and what is computed is rounding.
    """
    ours, reference = (flatten_dict(jax.device_get(dict(tree)), sep="/") for tree in (ours, reference))
    assert ours.keys() == reference.keys()
    sizes = {
        path: float(np.linalg.norm(value.ravel()) / max(np.count_nonzero(value), 1) ** 0.5)
        for path, value in reference.items()
    }
    least = 1e-2 * float(np.median(list(sizes.values())))
    differences = {path: np.abs(ours[path] - reference[path]).max() / max(sizes[path], least) for path in reference}
    worst = max(differences, key=differences.__getitem__)
    check(f"gradient, worst in {worst}", float(differences[worst]), limit)
