#!/usr/bin/env bash
# Verifies a saved request. Usage: WEBHOOK_SECRET=whsec_… verify.sh HEADERS BODY
# HEADERS: a file with lines "name: value"; BODY: a file with the body's bytes as they came.
header() { tr -d '\r' < "$headers" | grep -i "^$1:" | head -n 1 | sed 's/^[^:]*: *//'; }
headers=$1 body=$2 tolerance=300
id=$(header webhook-id) timestamp=$(header webhook-timestamp) given=$(header webhook-signature)

[[ $timestamp =~ ^[0-9]{1,12}$ ]] || { echo "refused: no timestamp"; exit 1; }
age=$(($(date +%s) - 10#$timestamp))
[[ ${age#-} -le $tolerance ]] || { echo "refused: the timestamp is $age seconds old"; exit 1; }

key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
expected="v1,$({ printf %s "$id.$timestamp."; cat "$body"; } |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)"
for one in $given; do
  [[ $one == "$expected" ]] && { echo "accepted"; exit 0; }
done
echo "refused: another secret, or the body is not as it was sent"
exit 1
