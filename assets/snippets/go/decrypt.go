package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"strings"
)

// decrypt gives the payload. Verify the signature first: it is over the body as it came.
func decrypt(body []byte) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_"))
	if err != nil {
		return nil, err
	}
	// HKDF-SHA256 (RFC 5869) without salt, one block of output.
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	key := mac(mac(make([]byte, 32), string(secret)), "postrider/jwe/v1\x01")
	parts := strings.Split(string(body), ".")
	if len(parts) != 5 {
		return nil, errors.New("not a JWE in compact form")
	}
	iv, err1 := base64.RawURLEncoding.DecodeString(parts[2])
	text, err2 := base64.RawURLEncoding.DecodeString(parts[3])
	tag, err3 := base64.RawURLEncoding.DecodeString(parts[4])
	if err1 != nil || err2 != nil || err3 != nil || len(iv) != 12 {
		return nil, errors.New("not a JWE in compact form")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, iv, append(text, tag...), []byte(parts[0]))
}
