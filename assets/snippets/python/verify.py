import base64, hashlib, hmac, os, time


def verify(headers, body, tolerance=300):
    """Whether a request is genuine.

    headers: a mapping whose names are in lower case; body: the bytes as they came
    (Flask: request.get_data(), Django: request.body, FastAPI: await request.body()).
    """
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > tolerance:
        return False
    signed = f"{headers.get('webhook-id')}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = headers.get("webhook-signature", "").encode()
    return any(hmac.compare_digest(expected, one) for one in given.split(b" "))
