//! Classes of response statuses, as statistics count attempts by them.

use crate::domain::values::words::words;

words! {
    /// The class of a response's status.
    pub enum StatusClass {
        Success = "2xx",
        Redirect = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
        /// No response arrived.
        None = "none",
        /// A status outside these classes.
        Other = "other",
    }
}

impl StatusClass {
    /// The class of a status; `None`: no response arrived.
    pub fn of(status: Option<u16>) -> StatusClass {
        match status {
            None => StatusClass::None,
            Some(200..=299) => StatusClass::Success,
            Some(300..=399) => StatusClass::Redirect,
            Some(400..=499) => StatusClass::ClientError,
            Some(500..=599) => StatusClass::ServerError,
            Some(_) => StatusClass::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_in_one_class() {
        let of = |status: u16| StatusClass::of(Some(status)).as_str();
        assert_eq!(
            [200, 299, 302, 404, 429, 500, 599].map(of),
            ["2xx", "2xx", "3xx", "4xx", "4xx", "5xx", "5xx"]
        );
        assert_eq!([101, 600, 999].map(of), ["other"; 3]);
        assert_eq!(StatusClass::of(Option::None).as_str(), "none");
    }
}
