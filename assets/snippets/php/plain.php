<?php

// Whether a request is genuine. $headers: names in lower case, array_change_key_case(getallheaders());
// $body: the bytes as they came, file_get_contents('php://input').
function verify(array $headers, string $body): bool
{
    $expected = 'sha256=' . hash_hmac('sha256', $body, getenv('WEBHOOK_SECRET'));
    return hash_equals($expected, $headers['x-webhook-signature'] ?? '');
}
