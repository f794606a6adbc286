"""Published networks that metrics are defined by: found or downloaded, and never another file than the one meant."""

import dataclasses
import logging
import os
import urllib.request
from pathlib import Path

from adiff_jax.data.source import sha256

_log = logging.getLogger(__name__)


class NetworkError(ValueError):
    """A network that a metric needs is not there, or is not the one; says what to do."""


@dataclasses.dataclass(frozen=True)
class NetworkFile:
    """One file of a published network.

    Attributes:
        name: what it is, in words.
        file: its name.
        address: where it is published.
        sha256: of the file.
    """

    name: str
    file: str
    address: str
    sha256: str


LPIPS_TRUNK = NetworkFile(
    "AlexNet, torchvision's weights of 2014",
    "alexnet-owt-7be5be79.pth",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
)
LPIPS_HEADS = NetworkFile(
    "LPIPS v0.1 on AlexNet, the weights of its channels",
    "alex.pth",
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
    "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
)
INCEPTION = NetworkFile(
    "Inception of 2015-12-05, the one that FID is defined by, as TorchScript",
    "inception-2015-12-05.pt",
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
I3D = NetworkFile(
    "I3D trained on Kinetics-400, as TorchScript (that of StyleGAN-V)",
    "i3d_torchscript.pt",
    "https://huggingface.co/flateon/FVD-I3D-torchscript/resolve/1c2d61711c52571ad617a1063e6fa691b212e184/i3d_torchscript.pt",
    "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
)
DESCRIPTOR_WEIGHTS = NetworkFile(
    "dlib's face descriptor as face-api has it, quantised",
    "face_recognition_model.bin",
    "https://raw.githubusercontent.com/vladmandic/face-api/1.7.15/model/face_recognition_model.bin",
    "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
)
DESCRIPTOR_MANIFEST = NetworkFile(
    "names and shapes of the face descriptor's tensors",
    "face_recognition_model-weights_manifest.json",
    "https://raw.githubusercontent.com/vladmandic/face-api/1.7.15/model/face_recognition_model-weights_manifest.json",
    "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
)

FOLDER_VARIABLE = "ADIFF_METRIC_NETWORKS"


def find_network(network: NetworkFile, folder: str | os.PathLike | None = None) -> Path:
    """The path of a network's file, downloaded if it is nowhere.

    Order: `folder`, the folder that the environment variable `ADIFF_METRIC_NETWORKS` names, the user's cache, and the
    official address. A folder that is named must have the file.

    Raises:
        NetworkError: the file is not in the folder that was named, cannot be downloaded, or has another SHA-256.
    """
    named = folder or os.environ.get(FOLDER_VARIABLE)
    if named:
        path = Path(named).expanduser() / network.file
        if not path.is_file():
            raise NetworkError(f"{path} is missing ({network.name}): download {network.address} to it")
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        path = cache / "adiff_jax" / network.file
        if not path.is_file():
            _download(network, path)
    if (found := sha256(path)) != network.sha256:
        raise NetworkError(f"{path} is not {network.name}: its SHA-256 is {found}, not {network.sha256}")
    return path


def _download(network: NetworkFile, path: Path) -> None:
    _log.info("downloading %s from %s", network.name, network.address)
    try:
        with urllib.request.urlopen(network.address, timeout=60) as response:
            data = response.read()
    except OSError as error:
        raise NetworkError(
            f"no {network.file} ({network.name}), and the download failed ({error}): download {network.address} by "
            f"hand into a folder and set {FOLDER_VARIABLE} to it"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(data)
    if (found := sha256(aside)) != network.sha256:
        aside.unlink()
        raise NetworkError(f"{network.address} gave a file whose SHA-256 is {found}, not {network.sha256}")
    aside.replace(path)
