package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
)

// verify says whether a request is genuine. body holds the bytes as they came: io.ReadAll(r.Body).
func verify(header http.Header, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(os.Getenv("WEBHOOK_SECRET")))
	mac.Write(body)
	expected := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(header.Get("x-webhook-signature")), []byte(expected))
}
