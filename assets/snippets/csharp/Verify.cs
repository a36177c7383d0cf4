using System;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

public static class Webhook
{
    // Whether a request is genuine. header: name => Request.Headers[name].ToString(); body: the bytes as
    // they came, read from Request.Body before anything parses them.
    public static bool Verify(Func<string, string?> header, byte[] body, int tolerance = 300)
    {
        var secret = Environment.GetEnvironmentVariable("WEBHOOK_SECRET") ?? "";
        var key = Convert.FromBase64String(secret.StartsWith("whsec_") ? secret[6..] : secret);
        var timestamp = header("webhook-timestamp");
        if (key.Length == 0 || !long.TryParse(timestamp, out var seconds)) return false;
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        if (seconds > now + tolerance || seconds < now - tolerance) return false;
        var signed = Encoding.UTF8.GetBytes($"{header("webhook-id")}.{timestamp}.").Concat(body).ToArray();
        var expected = Encoding.UTF8.GetBytes("v1," + Convert.ToBase64String(HMACSHA256.HashData(key, signed)));
        return (header("webhook-signature") ?? "").Split(' ')
            .Any(one => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(one), expected));
    }
}
