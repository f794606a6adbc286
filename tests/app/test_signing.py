"""Keys: self-made ones are private and stay, those of the user must fit their certificates."""

import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from adiff_jax.app.signing import SigningError, identity_file, load_identity, own_root, self_made
from adiff_jax.app.userfiles import config_folder, write_private


@pytest.fixture(autouse=True)
def no_key_yet(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def pem(key, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def certificate_of(public_key) -> bytes:
    """A certificate for any public key, issued by the self-made one's name."""
    issuer = ec.generate_private_key(ec.SECP256R1())
    like = x509.load_pem_x509_certificate(self_made().chain)
    builder = x509.CertificateBuilder(like.subject, like.subject, public_key, like.serial_number)
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    return builder.sign(issuer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_made_on_first_use_for_the_owner_alone_and_kept() -> None:
    assert own_root() is None
    first = self_made()
    assert first.algorithm == "es256"
    assert stat.S_IMODE(identity_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(config_folder().stat().st_mode) == 0o700
    assert [path.name for path in config_folder().iterdir()] == ["signing.pem"]
    assert self_made() == first == load_identity()
    assert own_root() in first.chain
    assert b"PRIVATE" not in first.chain
    assert "PRIVATE" not in repr(first)


def test_the_root_signed_the_leaf_and_its_key_is_nowhere() -> None:
    leaf, root = x509.load_pem_x509_certificates(self_made().chain)
    leaf.verify_directly_issued_by(root)
    assert identity_file().read_bytes().count(b"BEGIN PRIVATE KEY") == 1
    private = serialization.load_pem_private_key(self_made().key, None)
    assert private.public_key() == leaf.public_key() != root.public_key()


def test_a_second_process_takes_the_key_of_the_first() -> None:
    first = self_made()
    write_private(identity_file(), b"another", replace=False)
    assert self_made() == first


def test_a_key_that_others_can_read_is_refused() -> None:
    self_made()
    identity_file().chmod(0o644)
    with pytest.raises(SigningError, match="chmod 600"):
        self_made()


def test_a_home_that_cannot_be_written_is_explained(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(SigningError, match="set XDG_CONFIG_HOME"):
        self_made()


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "es384"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "es512"),
        (ed25519.Ed25519PrivateKey.generate, "ed25519"),
        (lambda: rsa.generate_private_key(65537, 2048), "ps256"),
    ],
)
def test_the_users_own_of_every_kind(tmp_path, make, algorithm: str) -> None:
    key = make()
    (tmp_path / "key.pem").write_bytes(pem(key))
    (tmp_path / "chain.pem").write_bytes(certificate_of(key.public_key()))
    assert load_identity(tmp_path / "chain.pem", tmp_path / "key.pem").algorithm == algorithm


def test_what_cannot_be_used_is_one_clear_line(tmp_path) -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    good = certificate_of(key.public_key())
    contents = {
        "chain": good,
        "key": pem(key),
        "other": pem(other),
        "secret": pem(key, b"password"),
        "koblitz": pem(koblitz := ec.generate_private_key(ec.SECP256K1())),
        "koblitz_chain": certificate_of(koblitz.public_key()),
        "words": b"words",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for chain, key_name, message in (
        ("chain", None, "needed together"),
        (None, "key", "needed together"),
        ("absent", "key", "certificate cannot be read"),
        ("chain", "absent", "key cannot be read"),
        ("words", "key", "no certificate in PEM"),
        ("chain", "words", "no private key in PEM"),
        ("chain", "secret", "is encrypted"),
        ("chain", "other", "is not that of the key"),
        ("koblitz_chain", "koblitz", "no signatures with such a key"),
    ):
        with pytest.raises(SigningError, match=message) as raised:
            load_identity(chain and tmp_path / chain, key_name and tmp_path / key_name)
        assert "\n" not in str(raised.value)
