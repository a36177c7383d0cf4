using System;
using System.Security.Cryptography;
using System.Text;

public static class Webhook
{
    // Whether a request is genuine. header: name => Request.Headers[name].ToString(); body: the bytes as
    // they came, read from Request.Body before anything parses them.
    public static bool Verify(Func<string, string?> header, byte[] body)
    {
        var secret = Encoding.UTF8.GetBytes(Environment.GetEnvironmentVariable("WEBHOOK_SECRET") ?? "");
        var hex = Convert.ToHexString(HMACSHA256.HashData(secret, body)).ToLowerInvariant();
        var given = Encoding.UTF8.GetBytes(header("x-webhook-signature") ?? "");
        return secret.Length > 0
            && CryptographicOperations.FixedTimeEquals(given, Encoding.UTF8.GetBytes("sha256=" + hex));
    }
}
