<?php

// The payload; an exception if it was not encrypted with this secret. Verify the signature first: it is
// over the body as it came.
function decrypt(string $body): string
{
    $secret = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET')));
    $key = hash_hkdf('sha256', $secret, 32, 'postrider/jwe/v1');
    [$header, , $iv, $ciphertext, $tag] = explode('.', $body);
    $bytes = fn (string $part): string => base64_decode(strtr($part, '-_', '+/'));
    $plain = openssl_decrypt(
        $bytes($ciphertext), 'aes-256-gcm', $key, OPENSSL_RAW_DATA, $bytes($iv), $bytes($tag), $header
    );
    if ($plain === false) {
        throw new RuntimeException('not encrypted with this secret');
    }
    return $plain;
}
