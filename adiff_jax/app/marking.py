"""The options of marking: label, signature and consent, for every command that writes generated videos.

Imports nothing heavy, so that `adiff --help` is quick.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adiff_jax.app.consent import Consent
    from adiff_jax.app.signing import Identity


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarkingOptions:
    """How what is written says that it was generated.

    Attributes:
        label: a label stands in a corner of the picture; --no-label leaves it out, the signed manifest stays.
        certificate: PEM file with a certificate for signing, and the issuer's; a self-made one by default.
        key: PEM file with the certificate's private key.
        i_have_consent: the person in the source agreed; you are asked if you do not say so.
    """

    label: bool = True
    certificate: Path | None = None
    key: Path | None = None
    i_have_consent: bool = False

    def identity(self) -> "Identity":
        """Who signs; see `signing.load_identity` for the errors."""
        from adiff_jax.app.signing import load_identity

        return load_identity(self.certificate, self.key)

    def consent(self, source: str | Path | None) -> "Consent | None":
        """The consent of the person in a source, which is asked for if need be; None where nobody real is in it.

        Raises:
            ConsentError: there is none.
            MediaError: there is no such file.
        """
        from adiff_jax.app.consent import obtain_consent
        from adiff_jax.app.inputs import fingerprint

        if source is None or (sha256 := fingerprint(source)) is None:
            return None
        return obtain_consent(sha256, Path(source).name, self.i_have_consent)
