//! The headers of a request or an answer, as the log keeps them.
//!
//! A request has a dozen of them, and they go from the sender's thread to the writer's. As pairs of strings
//! that was two dozen allocations, which the other thread had to give back; so they are one text, and where
//! in it each part ends.

use std::fmt;

/// Names and values in their order, repeated ones included.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Name, value, name, value, …
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Headers {
    /// None yet, with room for so many.
    pub fn with_capacity(headers: usize, bytes: usize) -> Headers {
        Headers { text: String::with_capacity(bytes), ends: Vec::with_capacity(2 * headers) }
    }

    /// Puts one more at the end.
    pub fn push(&mut self, name: &str, value: &str) {
        for part in [name, value] {
            self.text.push_str(part);
            self.ends.push(self.text.len());
        }
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.chunks_exact(2).map(move |ends| {
            let (name, value) = (&self.text[start..ends[0]], &self.text[ends[0]..ends[1]]);
            start = ends[1];
            (name, value)
        })
    }

    /// The value of the first with just this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in pairs {
            headers.push(name.as_ref(), value.as_ref());
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_come_back_in_their_order(pairs in prop::collection::vec((".{0,8}", ".{0,20}"), 0..6)) {
            let headers: Headers = pairs.iter().cloned().collect();
            prop_assert!(headers.iter().eq(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
            prop_assert_eq!((headers.len(), headers.is_empty()), (pairs.len(), pairs.is_empty()));
            prop_assert_eq!(headers.bytes(), pairs.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>());
        }
    }

    #[test]
    fn the_first_of_a_name_is_found() {
        let headers: Headers = [("a", ""), ("b", "1"), ("b", "2")].into_iter().collect();
        assert_eq!((headers.get("a"), headers.get("b"), headers.get("B")), (Some(""), Some("1"), None));
    }
}
