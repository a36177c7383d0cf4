//! What one node tells another, as a text: `node`, and then lines, each a letter with what belongs to it. Lines that a
//! newer program has added are left out.

use crate::domain::{AttemptId, EndpointId, Timestamp};
use crate::store::{Line, NOTICE_BYTES, Queued};

/// Something that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// An attempt has become pending.
    Queued(Queued),
    /// An endpoint's status or settings have changed.
    EndpointChanged(EndpointId),
    /// Results were committed.
    Results,
    /// A bulk job is waiting.
    BulkJob,
    /// What somebody may do has changed.
    Access,
    /// More has happened than can be told.
    Missed,
    /// A node wants to know whether it hears itself.
    Echo(u64),
    /// So much of a limit was used.
    Used { name: String, count: u64 },
    /// A question with its number: what the holder of an endpoint's shard is sending to it.
    Sending { number: u64, endpoint: EndpointId },
    /// A part of the answer, of the node that asked; the last part says so.
    Sent { asker: u64, number: u64, is_last: bool, attempts: Vec<AttemptId> },
}

/// Attempts in one [`Notice::Sent`]: as many as fit into a text with room to spare.
pub(super) const SENT_TOGETHER: usize = 200;

/// A text from some node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoticeText {
    pub(super) node: u64,
    pub(super) notices: Vec<Notice>,
    /// Whether all of it was understood.
    pub(super) is_whole: bool,
}

/// Writes notices, as few texts as possible.
pub(super) fn write(node: u64, notices: impl IntoIterator<Item = Notice>) -> Vec<String> {
    let head = format!("{node:x}");
    let mut texts: Vec<String> = Vec::new();
    for notice in notices {
        let line = line(&notice);
        // What cannot be told is not worth failing for.
        if head.len() + 1 + line.len() > NOTICE_BYTES {
            continue;
        }
        match texts.last_mut().filter(|text| text.len() + 1 + line.len() <= NOTICE_BYTES) {
            Some(text) => {
                text.push('\n');
                text.push_str(&line);
            }
            None => texts.push(format!("{head}\n{line}")),
        }
    }
    texts
}

fn line(notice: &Notice) -> String {
    match notice {
        Notice::Queued(Queued { attempt_id, endpoint_id, due_at, line }) => {
            let line = match line {
                Line::Single => 's',
                Line::Fresh => 'f',
                Line::Bulk => 'b',
            };
            format!("{line}{endpoint_id} {:x} {:x}", attempt_id.0, due_at.as_millis())
        }
        Notice::EndpointChanged(endpoint) => format!("c{endpoint}"),
        Notice::Results => "r".to_owned(),
        Notice::BulkJob => "j".to_owned(),
        Notice::Access => "a".to_owned(),
        Notice::Missed => "m".to_owned(),
        Notice::Echo(number) => format!("e{number:x}"),
        Notice::Used { name, count } => format!("u{count:x} {}", name.replace('\n', " ")),
        Notice::Sending { number, endpoint } => format!("q{number:x} {endpoint}"),
        Notice::Sent { asker, number, is_last, attempts } => {
            let letter = if *is_last { 'l' } else { 'p' };
            let ids: String = attempts.iter().map(|id| format!(" {:x}", id.0)).collect();
            format!("{letter}{asker:x} {number:x}{ids}")
        }
    }
}

/// Reads a text; `None` when it is of nobody.
pub(super) fn read(text: &str) -> Option<NoticeText> {
    let mut lines = text.lines();
    let node = u64::from_str_radix(lines.next()?, 16).ok()?;
    let mut told = NoticeText { node, notices: Vec::new(), is_whole: true };
    for line in lines {
        match read_line(line) {
            Some(notice) => told.notices.push(notice),
            None => told.is_whole = false,
        }
    }
    Some(told)
}

fn read_line(text: &str) -> Option<Notice> {
    let mut rest = text.chars();
    let (letter, rest) = (rest.next()?, rest.as_str());
    Some(match letter {
        's' => Notice::Queued(queued(Line::Single, rest)?),
        'f' => Notice::Queued(queued(Line::Fresh, rest)?),
        'b' => Notice::Queued(queued(Line::Bulk, rest)?),
        'c' => Notice::EndpointChanged(rest.parse().ok()?),
        'r' => Notice::Results,
        'j' => Notice::BulkJob,
        'a' => Notice::Access,
        'm' => Notice::Missed,
        'e' => Notice::Echo(u64::from_str_radix(rest, 16).ok()?),
        'u' => {
            let (count, name) = rest.split_once(' ')?;
            Notice::Used { name: name.to_owned(), count: u64::from_str_radix(count, 16).ok()? }
        }
        'q' => {
            let (number, endpoint) = rest.split_once(' ')?;
            Notice::Sending {
                number: u64::from_str_radix(number, 16).ok()?,
                endpoint: endpoint.parse().ok()?,
            }
        }
        'l' | 'p' => sent(letter == 'l', rest)?,
        _ => return None,
    })
}

fn queued(line: Line, text: &str) -> Option<Queued> {
    let mut parts = text.split(' ');
    let endpoint_id = parts.next()?.parse().ok()?;
    let number = |text: &str| i64::from_str_radix(text, 16).ok();
    let (id, due) = (number(parts.next()?)?, number(parts.next()?)?);
    Some(Queued { attempt_id: AttemptId(id), endpoint_id, due_at: Timestamp::from_millis(due), line })
}

fn sent(is_last: bool, text: &str) -> Option<Notice> {
    let mut parts = text.split(' ');
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let (asker, number) = (number()?, number()?);
    let ids = parts.map(|id| i64::from_str_radix(id, 16).ok().map(AttemptId));
    Some(Notice::Sent { asker, number, is_last, attempts: ids.collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn a_queued(id: i64, line: Line) -> Notice {
        let due_at = Timestamp::from_millis(1_700_000_000_000 + id);
        Notice::Queued(Queued {
            attempt_id: AttemptId(id),
            endpoint_id: EndpointId::new(due_at),
            due_at,
            line,
        })
    }

    proptest! {
        #[test]
        fn notices_read_back_in_order_from_texts_that_fit(
            node in any::<u64>(),
            kinds in prop::collection::vec((0_u8..12, 0_i64..i64::MAX / 4, "[ -~]{0,40}"), 0..400),
        ) {
            let notices: Vec<Notice> = kinds
                .into_iter()
                .map(|(kind, number, name)| match kind {
                    0 => a_queued(number % 1_000_000, Line::Single),
                    1 => a_queued(number % 1_000_000, Line::Fresh),
                    2 => a_queued(number % 1_000_000, Line::Bulk),
                    3 => Notice::EndpointChanged(EndpointId::new(Timestamp::from_millis(number % 1_000_000))),
                    4 => Notice::Results,
                    5 => Notice::BulkJob,
                    6 => Notice::Access,
                    7 => Notice::Missed,
                    8 => Notice::Echo(number.unsigned_abs()),
                    9 => Notice::Sending {
                        number: number.unsigned_abs(),
                        endpoint: EndpointId::new(Timestamp::from_millis(number % 1_000_000)),
                    },
                    10 => Notice::Sent {
                        asker: node,
                        number: number.unsigned_abs(),
                        is_last: number % 2 == 0,
                        attempts: (0..number % (SENT_TOGETHER as i64 + 1)).map(|n| AttemptId(number - n)).collect(),
                    },
                    _ => Notice::Used { name, count: number.unsigned_abs() },
                })
                .collect();
            let texts = write(node, notices.clone());
            let told: Vec<NoticeText> = texts.iter().map(|text| read(text).unwrap()).collect();
            prop_assert!(texts.iter().all(|text| text.len() <= NOTICE_BYTES));
            prop_assert!(told.iter().all(|told| told.node == node && told.is_whole));
            let read: Vec<Notice> = told.into_iter().flat_map(|told| told.notices).collect();
            prop_assert_eq!(read, notices);
        }

        #[test]
        fn nothing_that_arrives_is_a_reason_to_fail(text in "\\PC*") {
            let _ = read(&text);
        }
    }

    #[test]
    fn what_a_newer_program_says_is_left_out() {
        let told = read("2a\nr\nz new\nc nothing\na").unwrap();
        assert_eq!((told.node, told.is_whole), (42, false));
        assert_eq!(told.notices, [Notice::Results, Notice::Access]);
        assert_eq!(read("somebody else's"), None);
    }
}
