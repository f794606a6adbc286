"""Who signs: a certificate of the user's own, or one that is made on first use and stays on this machine.

A self-made key shows that a file is as it was when it was signed. It does not show who signed it: that takes a
certificate which others trust.
"""

import dataclasses
import datetime
import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from adiff_jax.app.userfiles import config_folder, write_private

SELF_MADE = "self-made key"
_YEARS = 20  # no time stamp is fetched, so that a file verifies only while the certificate is valid
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_PEM = serialization.Encoding.PEM


class SigningError(ValueError):
    """A key or a certificate cannot be used; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """A key and the certificates that vouch for it.

    Attributes:
        chain: certificates in PEM, that of the key first.
        key: the private key in PEM, PKCS#8, not encrypted.
        algorithm: C2PA's name of the signature algorithm.
    """

    chain: bytes
    key: bytes = dataclasses.field(repr=False)
    algorithm: str


def load_identity(certificate: str | os.PathLike | None = None, key: str | os.PathLike | None = None) -> Identity:
    """The user's own certificate; without one the self-made one, see `self_made`.

    Args:
        certificate: PEM file with the certificate and those that vouch for it, in this order.
        key: PEM file with its private key: P-256, P-384, P-521, Ed25519 or RSA, not encrypted.

    Raises:
        SigningError: a file cannot be read, one of the two is missing, or they do not belong together.
    """
    if certificate is None and key is None:
        return self_made()
    if certificate is None or key is None:
        raise SigningError("a certificate and its key are needed together: give --certificate and --key")
    chain = _read(Path(certificate), "certificate")
    return _checked(chain, _read(Path(key), "key"), str(certificate), str(key))


def self_made() -> Identity:
    """The certificate of this machine and user, made on first use; see `identity_file`.

    Raises:
        SigningError: it cannot be written, is damaged, or can be read by others.
    """
    path = identity_file()
    if not path.exists():
        try:
            write_private(path, _make(), replace=False)
        except OSError as error:
            raise SigningError(
                f"the key that signs videos cannot be written to {path.parent} ({error.strerror}); "
                "set XDG_CONFIG_HOME to a folder of yours, or give --certificate and --key"
            ) from error
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SigningError(f"{path}: this private key can be read by others; run: chmod 600 {path}")
    content = _read(path, "key")
    return _checked(content, content, str(path), str(path))


def identity_file() -> Path:
    """Where the self-made key and certificates lie."""
    return config_folder() / "signing.pem"


def own_root() -> bytes | None:
    """The self-made root certificate in PEM; None if there is none yet."""
    path = identity_file()
    if not path.is_file():
        return None
    return x509.load_pem_x509_certificates(path.read_bytes())[-1].public_bytes(_PEM)


def check_roots(certificates: bytes) -> None:
    """Refuses what cannot be trusted as root certificates.

    Raises:
        SigningError: there is no certificate in PEM format in it.
    """
    try:
        x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise SigningError(
            "no certificate in PEM format among those to trust; give a file of root certificates"
        ) from error


def _checked(certificates: bytes, key: bytes, certificate_name: str, key_name: str) -> Identity:
    try:
        chain = x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise SigningError(f"{certificate_name}: no certificate in PEM format in it") from error
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except TypeError as error:
        raise SigningError(f"{key_name}: the key is encrypted; give one that is not, readable by you alone") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{key_name}: no private key in PEM format in it") from error
    public = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*public) != chain[0].public_key().public_bytes(*public):
        raise SigningError(f"{certificate_name}: its first certificate is not that of the key in {key_name}")
    return Identity(
        chain=b"".join(certificate.public_bytes(_PEM) for certificate in chain),
        key=private.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        algorithm=_algorithm(private, key_name),
    )


def _algorithm(key: object, name: str) -> str:
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return _CURVES[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey():
            return "ps256"
    raise SigningError(f"{name}: C2PA has no signatures with such a key; use P-256, P-384, P-521, Ed25519 or RSA")


def _read(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SigningError(f"{path}: this {kind} cannot be read ({error.strerror})") from error


def _make() -> bytes:
    """A key, its certificate, and the root that issued it, in PEM: C2PA asks for one that another one issued."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = (
        _certificate("root", root_key, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate(SELF_MADE, key, root_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + leaf.public_bytes(_PEM) + root.public_bytes(_PEM)  # the root's key is thrown away


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "adiff_jax"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
