//! Files that an operator names: read with a limit, because a name may lead to a device or a pipe that never ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest configuration file, in bytes.
pub const CONFIG_MAX: u64 = 1 << 20;
/// The largest file with a secret, in bytes.
pub const SECRET_MAX: u64 = 64 << 10;

/// Reads a file as text.
///
/// # Errors
/// What the system says, or that there are more than `most` bytes.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    read_all(File::open(path)?, most)
}

/// Reads everything as text, with the same limit.
pub fn read_all(source: impl Read, most: u64) -> io::Result<String> {
    let mut text = String::new();
    source.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {} KiB", most >> 10)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_not_read_to_its_end() {
        assert_eq!(read_all(&b"abc"[..], 3).unwrap(), "abc");
        let error = read_text(Path::new("/dev/zero"), SECRET_MAX).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 64 KiB");
        assert_eq!(read_text(Path::new("/nowhere/at/all"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
