# Needs: pip install cryptography
import base64, os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def decrypt(body):
    """The payload's bytes. Verify the signature first: it is over the body as it came."""
    secret = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    key = HKDF(SHA256(), length=32, salt=None, info=b"postrider/jwe/v1").derive(secret)
    header, _, iv, ciphertext, tag = body.split(b".")
    plain = lambda part: base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    return AESGCM(key).decrypt(plain(iv), plain(ciphertext) + plain(tag), header)
