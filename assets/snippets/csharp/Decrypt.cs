using System;
using System.Security.Cryptography;
using System.Text;

public static class WebhookBody
{
    // The payload; an exception if it was not encrypted with this secret. Verify the signature first: it
    // is over the body as it came.
    public static byte[] Decrypt(string body)
    {
        var secret = Environment.GetEnvironmentVariable("WEBHOOK_SECRET") ?? "";
        var key = HKDF.DeriveKey(HashAlgorithmName.SHA256,
            Convert.FromBase64String(secret.StartsWith("whsec_") ? secret[6..] : secret), 32,
            Array.Empty<byte>(), Encoding.ASCII.GetBytes("postrider/jwe/v1"));
        var parts = body.Split('.');
        if (parts.Length != 5) throw new CryptographicException("not a JWE in compact form");
        var ciphertext = Bytes(parts[3]);
        var plain = new byte[ciphertext.Length];
        using var aes = new AesGcm(key, 16);
        aes.Decrypt(Bytes(parts[2]), ciphertext, Bytes(parts[4]), plain, Encoding.ASCII.GetBytes(parts[0]));
        return plain;
    }

    private static byte[] Bytes(string part) => Convert.FromBase64String(
        part.Replace('-', '+').Replace('_', '/').PadRight((part.Length + 3) / 4 * 4, '='));
}
