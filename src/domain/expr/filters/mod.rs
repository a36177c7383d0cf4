//! The filters. Each charges before it makes anything; none fails but by running out.

use super::budget::Overrun;
use super::catalog::Filter;
use super::run::Run;
use super::value::Value;

mod escapes;
mod lists;
mod numbers;
mod outline;
mod texts;
mod words;

type Filtered<'a> = Result<Value<'a>, Overrun>;

/// A filter's result. `excerpt` is the expression as it is written, for notes.
pub(super) fn apply<'a>(
    filter: Filter,
    value: Value<'a>,
    arguments: [Value<'a>; 3],
    run: &mut Run<'_>,
    excerpt: &str,
) -> Filtered<'a> {
    let [first, second, third] = arguments;
    match filter {
        Filter::Default if value.is_missing() || value.is_none() => {
            Ok(if first.is_missing() { Value::Text("".into()) } else { first })
        }
        Filter::Default => Ok(value),
        Filter::First => lists::first(value, run.budget),
        Filter::Last => lists::last(value, run.budget),
        Filter::Length => lists::length(value, run.budget),
        Filter::Join => lists::join(value, first, run.budget),
        Filter::Map => lists::map(value, first, run.budget),
        Filter::Selectattr => lists::select(value, [first, second, third], run.budget),
        Filter::Sort => lists::sort(value, first, run.budget),
        Filter::Unique => lists::unique(value, run.budget),
        Filter::Reverse => lists::reverse(value, run.budget),
        Filter::Round => numbers::round(value, first, run.budget),
        Filter::Int => numbers::int(value, run.budget),
        Filter::Float => numbers::float(value, run.budget),
        Filter::Abs => numbers::abs(value, run.budget),
        Filter::Date => numbers::date(value, first, second, run, excerpt),
        Filter::Filesize => numbers::file_size(value, run, excerpt),
        Filter::Duration => numbers::duration(value, run, excerpt),
        Filter::Tojson => escapes::to_json(value, run.budget),
        Filter::Outline => outline::outline(value, first, run, excerpt),
        Filter::Color => escapes::color(value, run.budget),
        // What is missing or none stays so: a key that holds it is left out, or null.
        _ if value.is_missing() || value.is_none() => Ok(value),
        _ => {
            let text = value.into_text(run.budget)?;
            run.budget.scan(text.len())?;
            Ok(Value::Text(match filter {
                Filter::Lower => texts::lower(text, run.budget)?,
                Filter::Upper => texts::upper(text, run.budget)?,
                Filter::Capitalize => texts::capitalize(text, run.budget)?,
                Filter::Trim => texts::trim(text),
                Filter::Replace => texts::replace(text, first, second, run.budget)?,
                Filter::Truncate => texts::truncate(text, first, run, excerpt)?,
                Filter::TruncateBytes => texts::truncate_bytes(text, first, run, excerpt)?,
                Filter::Lines => texts::lines(text, first, run, excerpt)?,
                Filter::After => texts::after(text, first, run.budget)?,
                Filter::Snake => words::separated(text, '_', run.budget)?,
                Filter::Slug => words::separated(text, '-', run.budget)?,
                Filter::Urlencode => escapes::url(text, run.budget)?,
                Filter::B64 => escapes::base64(text, run.budget)?,
                Filter::Html => escapes::html(text, run.budget)?,
                Filter::Md => escapes::markdown(text, run.budget)?,
                Filter::Mdv2 => escapes::markdown_v2(text, run.budget)?,
                Filter::Slack => escapes::slack(text, run.budget)?,
                _ => escapes::quiet(text, run.budget)?,
            }))
        }
    }
}

/// A count that was given as an argument; none if it is no number.
fn count(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::Number(number) => number.whole().map(|n| usize::try_from(n.max(0)).unwrap_or(usize::MAX)),
        _ => None,
    }
}
