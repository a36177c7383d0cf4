//! Sizes such as `16384`, `256KiB` and `1MB`.

use std::fmt;

/// A number of bytes that keeps its original text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteSize {
    text: String,
    bytes: u64,
}

impl ByteSize {
    /// Reads a whole number and `B`, `KiB`, `MiB`, `GiB` (powers of 1,024), `KB`, `MB`, `GB` (powers of
    /// 1,000), in any case, or no unit for bytes.
    pub fn parse(text: &str) -> Option<ByteSize> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let unit: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return None,
        };
        Some(ByteSize { text: text.to_owned(), bytes: number.checked_mul(unit)? })
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit_and_shows_the_original_text() {
        for (text, bytes) in [
            ("0", 0),
            ("16384", 16_384),
            ("16384B", 16_384),
            ("16KiB", 16_384),
            ("256 KiB", 262_144),
            ("1mib", 1_048_576),
            ("1MB", 1_000_000),
            ("2GiB", 2_147_483_648),
        ] {
            let size = ByteSize::parse(text).unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, text));
        }
    }

    #[test]
    fn refuses_texts_that_are_not_sizes() {
        for text in [
            "",
            "KiB",
            "-1",
            "+1",
            "1.5MiB",
            "16K",
            "1TiB",
            "99999999999999999999",
            "18446744073709551615KiB",
        ] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }
}
