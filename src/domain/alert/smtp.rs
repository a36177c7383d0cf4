//! E-mail: which server takes it, and whom it is from and to.

use crate::domain::values::words::words;

/// The longest e-mail address, in characters.
pub const ADDRESS_MAX_CHARS: usize = 320;
/// The most recipients of a target.
pub const RECIPIENTS_MAX: usize = 20;
/// The longest host name, in bytes.
pub const HOST_MAX: usize = 253;
/// The longest user name, in characters.
pub const USER_MAX_CHARS: usize = 320;

words! {
    /// How the connection to a mail server is encrypted.
    pub enum SmtpTls {
        /// It begins in the clear and is encrypted before anything is said.
        Starttls = "starttls",
        /// From the first byte.
        Implicit = "implicit",
        /// Not at all.
        None = "none",
    }
}

impl SmtpTls {
    /// The port that servers have for it.
    pub fn port(self) -> u16 {
        match self {
            SmtpTls::Starttls => 587,
            SmtpTls::Implicit => 465,
            SmtpTls::None => 25,
        }
    }
}

/// A mail server, and the addresses of a message. The password is kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub user: Option<String>,
    pub from: String,
    /// Never empty.
    pub to: Vec<String>,
}

/// Checks the form of an e-mail address. The error is a sentence for the caller.
pub fn check_address(text: &str) -> Result<(), String> {
    if text.chars().count() > ADDRESS_MAX_CHARS {
        return Err(format!("is longer than {ADDRESS_MAX_CHARS} characters"));
    }
    let no_address = || format!("{text:?} is not an e-mail address, such as ops@example.com");
    let (local, host) = text.rsplit_once('@').ok_or_else(no_address)?;
    let special = |c: char| c.is_whitespace() || c.is_control() || "<>()[]\\,;:\"@".contains(c);
    let of_host = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    let sound = (1..=64).contains(&local.len())
        && !local.contains(special)
        && local.split('.').all(|part| !part.is_empty())
        && !host.is_empty()
        && host.len() <= HOST_MAX
        && host.chars().all(of_host)
        && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    if sound { Ok(()) } else { Err(no_address()) }
}

/// Checks the name or address of a mail server, and gives it without brackets.
pub fn read_host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    let is_name = !bare.is_empty()
        && bare.len() <= HOST_MAX
        && bare.trim_end_matches('.').split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    if is_address || is_name {
        Ok(bare.to_owned())
    } else {
        Err("must be the name or the address of a mail server, such as mail.example.com".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_local_part_and_a_host() {
        for text in [
            "ops@example.com",
            "a.b+c@sub.example.co",
            "x@localhost",
            "größe@exämple.de",
            "o'neil@example.com",
        ] {
            assert_eq!(check_address(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "ops",
            "@example.com",
            "ops@",
            "a b@example.com",
            "a@b@c.example",
            "a@example..com",
            ".a@example.com",
            "a@-example.com",
            "Ops <ops@example.com>",
            "a@example.com\r\nBcc: b@example.com",
            "a,b@example.com",
        ] {
            assert!(check_address(text).is_err(), "{text:?}");
        }
        assert!(check_address(&format!("a@{}.com", "b".repeat(320))).unwrap_err().contains("320"));
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (text, host) in [
            ("mail.example.com", "mail.example.com"),
            ("192.168.1.20", "192.168.1.20"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("mail.example.com.", "mail.example.com."),
        ] {
            assert_eq!(read_host(text).as_deref(), Ok(host));
        }
        for text in
            ["", ".", "mail example", "smtp://mail.example.com", "mail.example.com:25", "a..b", "[mail"]
        {
            assert!(read_host(text).is_err(), "{text:?}");
        }
    }
}
