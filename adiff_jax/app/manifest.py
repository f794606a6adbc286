"""C2PA manifests: a claim signed into a file, and what a file's manifest says, and whether the file was changed since.

Nothing here uses the network: no time stamps, no revocation lists, no manifests that lie elsewhere.
"""

import dataclasses
import json
import mimetypes
import mmap
import os
from pathlib import Path
from typing import Any, Literal

import c2pa

from adiff_jax.app.provenance import SOFTWARE, Claim
from adiff_jax.app.signing import Identity, SigningError, check_roots, own_root
from adiff_jax.media.errors import MediaError
from adiff_jax.media.files import existing_file, write_aside

ASSERTION = "io.github.adiff-jax.generation"
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},  # would hold the picture as it was before the label
}
_UNTRUSTED = "signingCredential.untrusted"
_MANIFEST_BOX = b"c2pa" + bytes.fromhex("0011 0010 8000 00aa 0038 9b71")  # the UUID that its box begins with
_REASONS = {
    "assertion.bmffHash.mismatch": "picture, sound or metadata are not what was signed",
    "assertion.dataHash.mismatch": "picture or metadata are not what was signed",
    "assertion.hashedURI.mismatch": "what the manifest says is not what was signed",
    "claimSignature.mismatch": "the signature is not that of the claim",
    "signingCredential.expired": "the certificate ran out",
}

Status = Literal["unchanged", "changed", "invalid", "unsigned"]


def sign(draft: Path, out: Path, claim: Claim, identity: Identity) -> None:
    """Writes `draft`, an MP4 or a PNG, to `out` with the claim in a signed manifest; complete or not at all.

    Raises:
        SigningError: the certificate is not one that C2PA accepts for signing.
        MediaError: `out` cannot be written.
    """
    info = c2pa.C2paSignerInfo(identity.algorithm.encode(), identity.chain, identity.key, None)
    with write_aside(out) as aside, c2pa.Context.from_dict(_SETTINGS) as context:
        try:
            with c2pa.Signer.from_info(info) as signer, c2pa.Builder(_definition(claim, out.name), context) as builder:
                builder.sign_file(draft, aside, signer)
        except c2pa.C2paError as error:
            raise SigningError(
                f"signing failed ({error}): C2PA wants a certificate for signatures (email or document signing) that "
                "another one issued, with the issuer's after it in the file"
            ) from error


def _definition(claim: Claim, title: str) -> str:
    """The manifest to be, in the JSON of c2pa's builder."""
    kind = "compositeWithTrainedAlgorithmicMedia" if claim.composite else "trainedAlgorithmicMedia"
    software = claim.record()["software"]
    action = {
        "action": "c2pa.created",
        "digitalSourceType": _SOURCE_TYPE + kind,
        "softwareAgent": software,
        "description": claim.sentence(),
    }
    ingredients = [
        {
            "title": ingredient.name,
            "format": mimetypes.guess_type(ingredient.name)[0] or "application/octet-stream",
            "instance_id": f"sha256:{ingredient.sha256}",
            "relationship": "inputTo",
        }
        for ingredient in claim.inputs
        if ingredient.sha256
    ]
    return json.dumps(
        {
            "title": title,
            "claim_generator_info": [software],
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
                {"label": ASSERTION, "data": claim.record()},
            ],
            "ingredients": ingredients,
        }
    )


@dataclasses.dataclass(frozen=True)
class Report:
    """What a file says of itself.

    Attributes:
        status: whether the file is as it was signed, was changed since, has a signature that does not count (of a
            certificate that ran out, say), or has no manifest.
        reasons: what does not fit; empty where all fits.
        generated: whether the manifest says that a trained model made the picture, or part of it.
        record: what `Claim.record` gave, if this software signed it.
        software: name and version of what signed.
        signer: whom the certificate names.
        time: when it was signed, as the signature says; None where it does not.
        trusted: whether the certificate is this machine's self-made one, or one that the caller trusts.
    """

    status: Status
    reasons: tuple[str, ...] = ()
    generated: bool = False
    record: dict[str, Any] | None = None
    software: str | None = None
    signer: str | None = None
    time: str | None = None
    trusted: bool = False

    def headline(self) -> str:
        """The status in words."""
        return {
            "unchanged": "unchanged since it was signed",
            "changed": "CHANGED since it was signed",
            "invalid": "signed, but the signature does not count",
            "unsigned": "not signed: there is no C2PA manifest in it, or it was removed",
        }[self.status]

    def lines(self) -> list[str]:
        """What the manifest says, a line for each thing; of a changed file it holds for what was signed."""
        lines = [f"why: {reason}" for reason in self.reasons]
        if self.generated:
            lines.append("AI-generated: yes, in whole or in part")
        if self.software:
            lines.append(f"made by: {self.software}")
        if self.record is not None:
            try:
                lines += _describe(self.record)
            except (KeyError, TypeError):
                lines.append("its record cannot be read: it has another form than this version writes")
        if self.signer:
            known = "which you trust" if self.trusted else "which nobody here vouches for"
            lines.append(f"signed by: {self.signer} ({known})" + (f", {self.time}" if self.time else ""))
        return lines


def _describe(record: dict[str, Any]) -> list[str]:
    bundle = record["bundle"]
    return [
        f"how: {record['action']} with the bundle {bundle['name']}",
        *(f"sha256 of its {name}: {bundle['sha256'][name]}" for name in sorted(bundle["sha256"])),
        *(line for ingredient in record["inputs"] for line in _describe_ingredient(ingredient)),
    ]


def _describe_ingredient(ingredient: dict[str, Any]) -> list[str]:
    name = f"{ingredient['role']}: {ingredient['name']}"
    if "sha256" in ingredient:
        name += f" (sha256 {ingredient['sha256']})"
    if "consent" not in ingredient:
        return [name]
    consent = ingredient["consent"]
    return [name, f"consent of the person in it: {consent['how']}, {consent['time']}"]


def read_manifest(path: str | os.PathLike, trust: bytes | None = None) -> Report:
    """Reads and checks the manifest of an MP4, a PNG, or whatever else C2PA has manifests in.

    Args:
        path: the file.
        trust: root certificates in PEM that the caller trusts beside this machine's own.

    Raises:
        MediaError: there is no such file.
        SigningError: its format has no place for a manifest, or `trust` is not in PEM format.
    """
    path = existing_file(path, "picture or video")
    if trust is not None:
        check_roots(trust)
    anchors = b"\n".join(root for root in (own_root(), trust) if root)
    settings = {**_SETTINGS, "trust": {"user_anchors": anchors.decode()}} if anchors else _SETTINGS
    with c2pa.Context.from_dict(settings) as context:
        try:
            with c2pa.Reader(path, context=context) as reader:
                state, content = reader.get_validation_state(), json.loads(reader.json())
        except c2pa.C2paError.ManifestNotFound:
            return Report("unsigned")
        except c2pa.C2paError.NotSupported as error:
            raise SigningError(f"{path}: files of this kind have no place for a manifest") from error
        except c2pa.C2paError as error:
            if not _holds_manifest(path):
                raise MediaError(f"{path}: not a picture or video that can be read ({error})") from error
            return Report("changed", (f"its manifest cannot be read any more: {error}",))
    return _report(state, content)


def _holds_manifest(path: Path) -> bool:
    """Whether there are at least remains of a manifest."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_MANIFEST_BOX) >= 0


def _report(state: str, content: dict[str, Any]) -> Report:
    manifest = content["manifests"][content["active_manifest"]]
    found = (entry for entry in content.get("validation_status", ()) if entry["code"] != _UNTRUSTED)
    failures = {entry["code"]: _REASONS.get(entry["code"], entry["explanation"]) for entry in found}
    status: Status = "unchanged"
    if state == "Invalid":
        status = "invalid" if all(code.startswith("signingCredential.") for code in failures) else "changed"
    assertions = {assertion["label"]: assertion["data"] for assertion in manifest.get("assertions", ())}
    signature = manifest.get("signature_info", {})
    generator = next(iter(manifest.get("claim_generator_info", ())), {})
    names = [signature.get("issuer"), signature.get("common_name")]
    return Report(
        status=status,
        reasons=tuple(failures.values()),
        generated=any(_generated(data) for label, data in assertions.items() if "c2pa.actions" in label),
        record=assertions.get(ASSERTION) if generator.get("name") == SOFTWARE else None,
        software=" ".join(filter(None, (generator.get("name"), generator.get("version")))) or None,
        signer=", ".join(filter(None, names)) or None,
        time=signature.get("time"),
        trusted=state == "Trusted",
    )


def _generated(data: Any) -> bool:
    """Whether one of the actions in an assertion, which may have any form, says that a trained model was at work."""
    actions = data.get("actions") if isinstance(data, dict) else None
    known = (action for action in actions if isinstance(action, dict)) if isinstance(actions, list) else ()
    return any("rainedAlgorithmicMedia" in str(action.get("digitalSourceType")) for action in known)
