//! Searches an error and its causes for errors of known types.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// The first error of type `E` among an error and its causes.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref::<E>())
}

/// The innermost `io::Error`: it has the kind; the outer ones are often of kind `Other`.
pub(crate) fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last()
}

/// The text of the last cause, which is the most specific and never contains the URL.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).skip(1).last().map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// An error and its causes, outermost first. The `source` of an `io::Error` skips the error that it wraps, so that
/// one is included here.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e: &&'a (dyn Error + 'static)| {
        match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => e.source(),
        }
    })
}

/// What this machine lacks, if that is why a socket could not be opened.
pub(crate) fn local_cause(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_raw_os_error(error.raw_os_error()?) {
        Errno::MFILE | Errno::NFILE => "has no file handles left (raise its limit of open files)",
        Errno::NOBUFS | Errno::NOMEM => "is out of memory",
        Errno::ADDRNOTAVAIL => "has no free local port or address",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_inside_an_io_error_is_found() {
        let inner = rustls::Error::HandshakeNotComplete;
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, io::Error::other(inner.clone()));
        assert_eq!(find::<rustls::Error>(&wrapped), Some(&inner));
    }
}
