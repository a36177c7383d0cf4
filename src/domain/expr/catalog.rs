//! The filters, tests and comparisons by name.

/// A filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Default,
    Lower,
    Upper,
    Capitalize,
    Trim,
    Replace,
    Truncate,
    TruncateBytes,
    Lines,
    After,
    Snake,
    Slug,
    First,
    Last,
    Length,
    Join,
    Map,
    Selectattr,
    Sort,
    Unique,
    Reverse,
    Round,
    Int,
    Float,
    Abs,
    Date,
    Filesize,
    Duration,
    Tojson,
    Urlencode,
    B64,
    Color,
    Html,
    Md,
    Mdv2,
    Slack,
    Quiet,
    Outline,
}

/// Name, filter, and how many arguments it takes, from and to.
pub(super) const FILTERS: &[(&str, Filter, usize, usize)] = &[
    ("default", Filter::Default, 0, 1),
    ("d", Filter::Default, 0, 1),
    ("lower", Filter::Lower, 0, 0),
    ("upper", Filter::Upper, 0, 0),
    ("capitalize", Filter::Capitalize, 0, 0),
    ("trim", Filter::Trim, 0, 0),
    ("replace", Filter::Replace, 2, 2),
    ("truncate", Filter::Truncate, 1, 1),
    ("truncate_bytes", Filter::TruncateBytes, 1, 1),
    ("lines", Filter::Lines, 1, 1),
    ("after", Filter::After, 1, 1),
    ("snake", Filter::Snake, 0, 0),
    ("slug", Filter::Slug, 0, 0),
    ("first", Filter::First, 0, 0),
    ("last", Filter::Last, 0, 0),
    ("length", Filter::Length, 0, 0),
    ("join", Filter::Join, 0, 1),
    ("map", Filter::Map, 1, 1),
    ("selectattr", Filter::Selectattr, 1, 3),
    ("sort", Filter::Sort, 0, 1),
    ("unique", Filter::Unique, 0, 0),
    ("reverse", Filter::Reverse, 0, 0),
    ("round", Filter::Round, 0, 1),
    ("int", Filter::Int, 0, 0),
    ("float", Filter::Float, 0, 0),
    ("abs", Filter::Abs, 0, 0),
    ("date", Filter::Date, 0, 2),
    ("filesize", Filter::Filesize, 0, 0),
    ("duration", Filter::Duration, 0, 0),
    ("tojson", Filter::Tojson, 0, 0),
    ("urlencode", Filter::Urlencode, 0, 0),
    ("b64", Filter::B64, 0, 0),
    ("color", Filter::Color, 0, 0),
    ("html", Filter::Html, 0, 0),
    ("md", Filter::Md, 0, 0),
    ("mdv2", Filter::Mdv2, 0, 0),
    ("slack", Filter::Slack, 0, 0),
    ("quiet", Filter::Quiet, 0, 0),
    ("outline", Filter::Outline, 0, 1),
];

/// The tests that may follow `is`.
pub(super) const TESTS: &[&str] =
    &["defined", "none", "string", "number", "mapping", "sequence", "match", "search"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// What `selectattr` asks of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    Compare(Comparator),
    Defined,
}

/// The names of what `selectattr` asks, with those that Jinja2 has for the same.
pub(super) const SELECTIONS: &[(&str, Selection)] = &[
    ("==", Selection::Compare(Comparator::Equal)),
    ("!=", Selection::Compare(Comparator::NotEqual)),
    ("<", Selection::Compare(Comparator::Less)),
    ("<=", Selection::Compare(Comparator::LessOrEqual)),
    (">", Selection::Compare(Comparator::Greater)),
    (">=", Selection::Compare(Comparator::GreaterOrEqual)),
    ("in", Selection::Compare(Comparator::In)),
    ("defined", Selection::Defined),
    ("eq", Selection::Compare(Comparator::Equal)),
    ("equalto", Selection::Compare(Comparator::Equal)),
    ("ne", Selection::Compare(Comparator::NotEqual)),
    ("lt", Selection::Compare(Comparator::Less)),
    ("le", Selection::Compare(Comparator::LessOrEqual)),
    ("gt", Selection::Compare(Comparator::Greater)),
    ("ge", Selection::Compare(Comparator::GreaterOrEqual)),
];

/// What a name asks of a field.
pub(super) fn selection(name: &str) -> Option<Selection> {
    SELECTIONS.iter().find(|(known, _)| *known == name).map(|(_, selection)| *selection)
}
