#!/usr/bin/env bash
# Verifies a saved request. Usage: WEBHOOK_SECRET=whsec_… plain.sh HEADERS BODY
# HEADERS: a file with lines "name: value"; BODY: a file with the body's bytes as they came.
given=$(tr -d '\r' < "$1" | grep -i "^x-webhook-signature:" | head -n 1 | sed 's/^[^:]*: *//')
expected="sha256=$(openssl dgst -sha256 -hmac "$WEBHOOK_SECRET" -r < "$2" | cut -d ' ' -f 1)"
[[ $given == "$expected" ]] && { echo "accepted"; exit 0; }
echo "refused"
exit 1
