//! Headers that may be there once.

use poem::http::HeaderMap;

use crate::http::problem::Problem;

/// The value of a header. It decides who asks or for what, so there is no guessing: one that is there
/// twice, or that cannot be read, is a 400. A proxy in front may have looked at the other one.
pub fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| {
            Problem::bad_request(format!(
                "The header {name} cannot be read. Send visible ASCII characters only."
            ))
        }),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request(format!("The header {name} is there more than once. Send it once.")))
        }
    }
}
