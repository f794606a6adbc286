"""Repositories of the Hugging Face hub: weights in, bundles in and out."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from adiff_jax.weights.tensors import WeightsError

# What the hub sorts models by, at the head of a card.
METADATA = {
    "library_name": "adiff_jax",
    "pipeline_tag": "image-to-video",
    "tags": ["jax", "flax", "video", "face-reenactment", "diffusion", "arxiv:2407.15153"],
}

_REPO_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def is_repo_id(name: str | os.PathLike) -> bool:
    """Whether `name` has the form of a repository's name, OWNER/NAME."""
    return _REPO_ID.fullmatch(os.fspath(name)) is not None


def download(repo_id: str, patterns: Sequence[str] | None = None) -> Path:
    """Brings a repository's newest files to the local cache, or finds them there.

    Args:
        repo_id: OWNER/NAME.
        patterns: names of the files to bring, where `*` stands for anything; None brings all.

    Returns:
        The folder of the cache that holds them.

    Raises:
        WeightsError: there is no such repository, or the hub cannot be reached and the cache has not got it.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id, allow_patterns=None if patterns is None else list(patterns)))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{repo_id} is not here, and cannot be downloaded from the Hugging Face hub: {_summary(error)}"
        ) from error


def upload(folder: str | os.PathLike, repo_id: str, *, private: bool = False) -> str:
    """Makes a repository, if it is not there, and adds all files of `folder` to it in one commit.

    Args:
        folder: what to upload.
        repo_id: OWNER/NAME, where the logged-in user may write (`hf auth login`, or `$HF_TOKEN`).
        private: make a new repository private.

    Returns:
        The repository's address.

    Raises:
        WeightsError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload bundle")
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot upload to {repo_id} on the Hugging Face hub: {_summary(error)}") from error
    return str(address)


def with_metadata(card: str) -> str:
    """A card (Markdown) with `METADATA` at its head; what its own head says stays."""
    from huggingface_hub import ModelCard

    labelled = ModelCard(card)
    for name, value in METADATA.items():
        if labelled.data.get(name) is None:
            labelled.data[name] = value
    return str(labelled)


def _summary(error: Exception) -> str:
    """The first line of an error; the hub's go on for pages."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
