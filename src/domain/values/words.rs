//! Enums whose variants each have a word, which the APIs and storage use: the words are written down once.
//!
//! A variant may be followed by other words that are read as it (`| "…"`) and never written.

macro_rules! words {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        #[allow(dead_code, reason = "not every such enum is listed or read")]
        impl $name {
            /// All of them, in the order in which they are listed.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The words of [`Self::ALL`].
            pub const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// Reads a word.
            pub fn parse(text: &str) -> Option<$name> {
                match text {
                    $($word $(| $alias)* => Some($name::$variant),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro makes public enums")]
mod tests {
    super::words! {
        /// An example.
        pub enum Fruit {
            /// Read by two more words.
            Apple = "apple" | "pomme" | "apfel",
            Pear = "pear",
        }
    }

    #[test]
    fn words_read_back_and_other_words_are_only_read() {
        assert_eq!(Fruit::WORDS, ["apple", "pear"]);
        for (fruit, word) in Fruit::ALL.iter().zip(Fruit::WORDS) {
            assert_eq!((fruit.as_str(), Fruit::parse(word)), (*word, Some(*fruit)));
            assert_eq!(fruit.to_string(), *word);
        }
        assert_eq!(Fruit::parse("pomme"), Some(Fruit::Apple));
        for text in ["", "Apple", "apple ", "plum"] {
            assert_eq!(Fruit::parse(text), None, "{text:?}");
        }
    }
}
