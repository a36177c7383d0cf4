//! What a run reports besides its result, for previews.

/// Most entries of each kind.
const MOST: usize = 50;

/// A comparison or test that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// As it is written: `payload.action == 'published'`.
    pub expression: String,
    /// The value on the left, shortened.
    pub left: String,
    /// The value on the right; empty for a test.
    pub right: String,
    pub result: bool,
}

/// What a preview says about a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    pub comparisons: Vec<Comparison>,
    /// Paths that led nowhere and had no default.
    pub missing: Vec<String>,
    /// Texts that were shortened: "payload.body|truncate(20): 300 characters".
    pub cuts: Vec<String>,
    /// Operations that gave nothing, such as adding texts.
    pub hints: Vec<String>,
}

impl Notes {
    pub(super) fn comparison(&mut self, make: impl FnOnce() -> Comparison) {
        if self.comparisons.len() < MOST {
            self.comparisons.push(make());
        }
    }

    pub(super) fn is_missing(&mut self, path: &str) {
        add(&mut self.missing, path.to_owned());
    }

    pub(super) fn cut(&mut self, sentence: String) {
        add(&mut self.cuts, sentence);
    }

    pub(super) fn hint(&mut self, sentence: String) {
        add(&mut self.hints, sentence);
    }
}

fn add(list: &mut Vec<String>, entry: String) {
    if list.len() < MOST && !list.contains(&entry) {
        list.push(entry);
    }
}
