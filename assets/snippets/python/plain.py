import hashlib, hmac, os


def verify(headers, body):
    """Whether a request is genuine.

    headers: a mapping whose names are in lower case; body: the bytes as they came
    (Flask: request.get_data(), Django: request.body, FastAPI: await request.body()).
    """
    secret = os.environ["WEBHOOK_SECRET"].encode()
    expected = b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    return hmac.compare_digest(expected, headers.get("x-webhook-signature", "").encode())
