#!/usr/bin/env bash
# Sends your receiver a request that is signed as Postrider's are, to try it out.
# Usage: WEBHOOK_SECRET=whsec_… send.sh URL BODY          (BODY: a file)
url=$1 body=$2 id=evt_$(openssl rand -hex 16) timestamp=$(date +%s)
key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
signature=$({ printf %s "$id.$timestamp."; cat "$body"; } |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
plain=$(openssl dgst -sha256 -hmac "$WEBHOOK_SECRET" -r < "$body" | cut -d ' ' -f 1)
curl -sS -i "$url" -H 'Content-Type: application/json' \
  -H "webhook-id: $id" -H "webhook-timestamp: $timestamp" -H "webhook-signature: v1,$signature" \
  -H "x-webhook-signature: sha256=$plain" --data-binary "@$body"
