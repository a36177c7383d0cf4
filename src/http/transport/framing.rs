//! Where HTTP/1 requests begin and end in what a client sends, and which heads are refused.
//!
//! Pure: bytes in, a verdict out. Bodies are followed no further than to find the next head.

use std::mem::MaybeUninit;

use poem::http::Uri;

use super::http2_heads::Frames;

/// The largest head of a request, in bytes.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;
/// The most header lines of a request, as hyper has it.
const LINES_MAX: usize = 100;

/// Why a head is refused before it is read as a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A line ends in a bare line feed: 400.
    BareLineFeed,
    /// A transfer coding other than `chunked` alone: 501.
    TransferCoding,
    /// It is not a head of HTTP/1: 400.
    Malformed,
    /// Too many header lines, or too many bytes: 431.
    TooLarge,
    /// Too many unfinished heads: 503.
    Overloaded,
}

impl Refusal {
    const ALL: [Refusal; 5] = [
        Refusal::BareLineFeed,
        Refusal::TransferCoding,
        Refusal::Malformed,
        Refusal::TooLarge,
        Refusal::Overloaded,
    ];

    /// The method of the request that stands for the refused one.
    fn method(self) -> &'static str {
        match self {
            Refusal::BareLineFeed => "REFUSED-LF",
            Refusal::TransferCoding => "REFUSED-CODING",
            Refusal::Malformed => "REFUSED-FORM",
            Refusal::TooLarge => "REFUSED-SIZE",
            Refusal::Overloaded => "REFUSED-BUSY",
        }
    }

    /// The refusal that a method stands for. A client that sends such a method is refused as it asks for.
    pub(super) fn of_method(method: &str) -> Option<Refusal> {
        Refusal::ALL.into_iter().find(|refusal| refusal.method() == method)
    }

    /// The request that stands for a refused head: with its target, as far as that can be told.
    pub(super) fn stand_in(self, head: &[u8]) -> Vec<u8> {
        let line =
            head.split(|b| matches!(b, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
        let target = line.split(|b| *b == b' ').nth(1).unwrap_or_default();
        let is_plain = target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic);
        let target = if is_plain { target } else { b"/" };
        [self.method().as_bytes(), b" ", target, b" HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n"]
            .concat()
    }
}

/// What is to be done with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// So many bytes may be handed over. The rest is the beginning of a head; it is given again, with more
    /// behind it.
    Pass(usize),
    /// So many bytes are good; then comes a head that is refused.
    Refuse { good: usize, refusal: Refusal },
    /// So many bytes are good; then a line of chunks ends in a bare line feed.
    BadChunk { good: usize },
}

/// A line of chunks ends so.
struct BareLineFeed;

/// Where in the stream of requests a connection is.
#[derive(Debug, Default)]
pub(super) struct Framing {
    at: At,
}

#[derive(Debug)]
enum At {
    /// In a head: how many of its bytes were looked at, and where its current line begins.
    Head { seen: usize, line: usize, has_begun: bool },
    /// In a body, or in the data of a chunk, of which so many bytes are to come.
    Body { left: u64, is_chunk: bool },
    /// In the line before a chunk, with the digits so far.
    ChunkSize { size: Option<u64>, in_extension: bool, after_cr: bool },
    /// In the lines behind the last chunk.
    Trailers { line: usize, after_cr: bool },
    /// Nobody here knows; hyper does.
    Unknown,
    /// HTTP/2.
    Frames(Frames),
}

const NEW_HEAD: At = At::Head { seen: 0, line: 0, has_begun: false };
const NEW_CHUNK: At = At::ChunkSize { size: None, in_extension: false, after_cr: false };

impl Default for At {
    fn default() -> At {
        NEW_HEAD
    }
}

impl Framing {
    /// Bytes of an HTTP/2 header block that has begun and not ended.
    pub(super) fn unfinished_block(&self) -> usize {
        if let At::Frames(frames) = &self.at { frames.unfinished() } else { 0 }
    }

    /// Goes on over bytes, of which the beginning of an unfinished head may have been given before.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut done = 0;
        loop {
            let rest = &bytes[done..];
            match &mut self.at {
                At::Unknown => return Scan::Pass(bytes.len()),
                At::Frames(frames) => {
                    frames.follow(rest);
                    return Scan::Pass(bytes.len());
                }
                At::Head { seen, line, has_begun } => match scan_head(rest, seen, line, has_begun) {
                    Head::Unfinished => return Scan::Pass(done),
                    Head::Refused(refusal) => return Scan::Refuse { good: done, refusal },
                    Head::Whole { length, next } => {
                        done += length;
                        self.at = next;
                    }
                },
                At::Body { left, is_chunk } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    done += here;
                    if *left > 0 {
                        return Scan::Pass(done);
                    }
                    self.at = if *is_chunk { NEW_CHUNK } else { NEW_HEAD };
                }
                At::ChunkSize { .. } | At::Trailers { .. } => {
                    if rest.is_empty() {
                        return Scan::Pass(done);
                    }
                    match self.scan_chunk_lines(rest) {
                        Ok(n) => done += n,
                        Err(n) => return Scan::BadChunk { good: done + n },
                    }
                }
            }
            if done == bytes.len() && !matches!(self.at, At::Unknown) {
                return Scan::Pass(done);
            }
        }
    }

    /// Goes on in the line before a chunk, or behind the last one. Says how many bytes belong to it; the error, how
    /// many come before a bare line feed.
    fn scan_chunk_lines(&mut self, bytes: &[u8]) -> Result<usize, usize> {
        for (i, byte) in bytes.iter().enumerate() {
            let next = match &mut self.at {
                At::ChunkSize { size, in_extension, after_cr } => {
                    chunk_size_byte(*byte, size, in_extension, after_cr)
                }
                At::Trailers { line, after_cr } => trailer_byte(*byte, line, after_cr),
                _ => return Ok(i),
            };
            if let Some(next) = next.map_err(|BareLineFeed| i)? {
                self.at = next;
                return Ok(i + 1);
            }
        }
        Ok(bytes.len())
    }
}

fn chunk_size_byte(
    byte: u8,
    size: &mut Option<u64>,
    in_extension: &mut bool,
    after_cr: &mut bool,
) -> Result<Option<At>, BareLineFeed> {
    match byte {
        b'\n' if !*after_cr => return Err(BareLineFeed),
        b'\n' => {
            return Ok(Some(match *size {
                Some(0) => At::Trailers { line: 0, after_cr: false },
                // The data and the line break behind it.
                Some(n) => n.checked_add(2).map_or(At::Unknown, |left| At::Body { left, is_chunk: true }),
                None => At::Unknown,
            }));
        }
        b'\r' => *after_cr = true,
        b';' | b' ' | b'\t' => *in_extension = true,
        _ if *in_extension => {}
        _ => {
            let Some(digit) = char::from(byte).to_digit(16) else { return Ok(Some(At::Unknown)) };
            let grown = size.unwrap_or(0).checked_mul(16).and_then(|n| n.checked_add(u64::from(digit)));
            let Some(grown) = grown else { return Ok(Some(At::Unknown)) };
            *size = Some(grown);
        }
    }
    if byte != b'\r' {
        *after_cr = false;
    }
    Ok(None)
}

fn trailer_byte(byte: u8, line: &mut usize, after_cr: &mut bool) -> Result<Option<At>, BareLineFeed> {
    match byte {
        b'\n' if !*after_cr => return Err(BareLineFeed),
        b'\n' if *line == 0 => return Ok(Some(NEW_HEAD)),
        b'\n' => *line = 0,
        b'\r' => {}
        _ => *line += 1,
    }
    *after_cr = byte == b'\r';
    Ok(None)
}

enum Head {
    Unfinished,
    Whole { length: usize, next: At },
    Refused(Refusal),
}

/// Looks for the end of a head from where the last look ended.
fn scan_head(bytes: &[u8], seen: &mut usize, line: &mut usize, has_begun: &mut bool) -> Head {
    while let Some(found) = bytes[*seen..].iter().position(|b| *b == b'\n') {
        let end = *seen + found;
        if end == 0 || bytes[end - 1] != b'\r' {
            // HTTP/2 begins like a head and has no bare line feeds in its greeting.
            return Head::Refused(Refusal::BareLineFeed);
        }
        let is_empty = end == *line + 1;
        if !*has_begun && bytes[*line..].starts_with(b"PRI * HTTP/2") {
            // Its frames are counted from the beginning of the preface.
            return Head::Whole { length: *line, next: At::Frames(Frames::default()) };
        }
        (*seen, *line) = (end + 1, end + 1);
        if !is_empty {
            *has_begun = true;
        } else if *has_begun {
            return judge_head(&bytes[..=end]);
        }
    }
    *seen = bytes.len();
    Head::Unfinished
}

/// What a whole head says of what follows it. It is read as hyper reads it, so that what hyper would refuse without a
/// word gets a response like every other error.
fn judge_head(head: &[u8]) -> Head {
    if head.len() > HEAD_LIMIT {
        return Head::Refused(Refusal::TooLarge);
    }
    let mut lines = [const { MaybeUninit::uninit() }; LINES_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut lines) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Head::Whole { length: head.len(), next: At::Unknown },
        Err(httparse::Error::TooManyHeaders) => return Head::Refused(Refusal::TooLarge),
        Err(_) => return Head::Refused(Refusal::Malformed),
    }
    let (mut codings, mut is_chunked) = (0, false);
    let mut length: Option<Option<u64>> = None;
    for line in request.headers.iter() {
        if line.name.eq_ignore_ascii_case("transfer-encoding") {
            codings += 1;
            is_chunked = line.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        } else if line.name.eq_ignore_ascii_case("content-length") {
            let n = content_length(line.value.trim_ascii());
            length = Some(if length.is_none_or(|before| before == n) { n } else { None });
        }
    }
    if codings > 1 || (codings == 1 && !is_chunked) {
        return Head::Refused(Refusal::TransferCoding);
    }
    // Older versions know no chunks.
    let is_older = request.version == Some(0);
    if !is_target(request.path.unwrap_or_default()) || (codings > 0 && is_older) {
        return Head::Refused(Refusal::Malformed);
    }
    let next = match (codings, length) {
        _ if request.method == Some("CONNECT") => At::Unknown,
        (1, _) => NEW_CHUNK,
        (_, None | Some(Some(0))) => NEW_HEAD,
        (_, Some(Some(left))) => At::Body { left, is_chunk: false },
        (_, Some(None)) => return Head::Refused(Refusal::Malformed),
    };
    Head::Whole { length: head.len(), next }
}

/// Only digits are a length.
fn content_length(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    // hyper has other uses for the last two numbers.
    let number = std::str::from_utf8(value).ok()?.parse().ok().filter(|n| *n < u64::MAX - 1)?;
    is_number.then_some(number)
}

/// Whether this is the target of a request. Nearly all consist of characters that need no closer look.
fn is_target(target: &str) -> bool {
    let is_common = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~%?&=+:,@*".contains(&byte);
    (target.starts_with('/') && target.bytes().all(is_common)) || target.parse::<Uri>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scans bytes as they come in pieces, as a connection does. Gives what was handed over, and the refusal.
    fn in_pieces(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<Refusal>) {
        let (mut framing, mut held, mut passed, mut from) = (Framing::default(), Vec::new(), Vec::new(), 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        for cut in cuts {
            held.extend_from_slice(&bytes[from..cut]);
            from = cut;
            match framing.scan(&held) {
                Scan::Pass(n) => passed.extend(held.drain(..n)),
                Scan::Refuse { good, refusal } => {
                    passed.extend(held.drain(..good));
                    return (passed, Some(refusal));
                }
                Scan::BadChunk { .. } => panic!("the lines of these chunks end in CR LF"),
            }
        }
        (passed, None)
    }

    fn whole(bytes: &str) -> (String, Option<Refusal>) {
        let (passed, refusal) = in_pieces(bytes.as_bytes(), &[]);
        (String::from_utf8(passed).unwrap(), refusal)
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    #[test]
    fn a_line_feed_alone_ends_no_line() {
        for bad in [
            "GET / HTTP/1.1\nhost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nx: a\nb: c\r\n\r\n",
        ] {
            assert_eq!(whole(bad), (String::new(), Some(Refusal::BareLineFeed)), "{bad:?}");
            let behind = format!("{GET}{bad}");
            assert_eq!(whole(&behind), (GET.to_owned(), Some(Refusal::BareLineFeed)), "{bad:?}");
        }
    }

    #[test]
    fn chunked_alone_is_the_only_transfer_coding() {
        let post = |coding: &str| format!("POST / HTTP/1.1\r\nhost: x\r\n{coding}\r\n\r\n");
        for bad in [
            "transfer-encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "transfer-encoding: chunked, gzip",
            "transfer-encoding: xchunked",
            "transfer-encoding:",
            "transfer-encoding: identity",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "content-length: 3\r\ntransfer-encoding: deflate",
        ] {
            assert_eq!(whole(&post(bad)), (String::new(), Some(Refusal::TransferCoding)), "{bad}");
        }
        for plain in ["transfer-encoding: chunked", "TRANSFER-ENCODING:  Chunked "] {
            let request = format!("{}3;a=b\r\nx\ny\r\n0\r\nt: 1\r\n\r\n{GET}", post(plain));
            assert_eq!(whole(&request), (request.clone(), None));
            // What looks like a head inside a chunk is none; behind the chunks it is.
            assert_eq!(whole(&format!("{request}\n")).1, Some(Refusal::BareLineFeed));
        }
    }

    #[test]
    fn bodies_are_followed_by_their_length() {
        let post = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\nc";
        assert_eq!(whole(&format!("{post}{GET}")).1, None);
        assert_eq!(whole(&format!("{post}\n{GET}")), (post.to_owned(), Some(Refusal::BareLineFeed)));
    }

    #[test]
    fn what_is_in_doubt_is_left_to_hyper() {
        for head in [
            "CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\n",
        ] {
            assert_eq!(whole(head), (head.to_owned(), None), "{head:?}");
        }
    }

    #[test]
    fn a_head_that_hyper_would_refuse_is_refused_here() {
        let lines = |n: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(n));
        for bad in [
            "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nhost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nx: a\rb\r\n\r\n",
            "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET x:y:z HTTP/1.1\r\nhost: x\r\n\r\n",
            "G(T / HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET / HTTP/1.2\r\nhost: x\r\n\r\n",
            "GET\r\n\r\n",
        ] {
            assert_eq!(whole(bad), (String::new(), Some(Refusal::Malformed)), "{bad:?}");
            assert_eq!(whole(&format!("{GET}{bad}")), (GET.to_owned(), Some(Refusal::Malformed)), "{bad:?}");
        }
        assert_eq!(whole(&lines(LINES_MAX)), (lines(LINES_MAX), None));
        assert_eq!(whole(&lines(LINES_MAX + 1)), (String::new(), Some(Refusal::TooLarge)));
        for target in ["*", "http://x/y?z", "/a;b=(c)!$'", "/%zz", "/\u{e9}"] {
            let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
            assert_eq!(whole(&head), (head.clone(), None));
        }
    }

    #[test]
    fn chunks_whose_lines_end_in_a_line_feed_alone_are_an_error() {
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        for (before, bad) in
            [("3", "\nabc\r\n"), ("3\r\nabc\r\n0;x", "\n\r\n"), ("0\r\nt: 1", "\n\r\n"), ("0\r\n", "\n")]
        {
            let scan = Framing::default().scan(format!("{head}{before}{bad}").as_bytes());
            assert_eq!(scan, Scan::BadChunk { good: head.len() + before.len() }, "{before:?}");
        }
    }

    #[test]
    fn a_stand_in_keeps_a_plain_target() {
        let stand_in = |head: &str| {
            let text = String::from_utf8(Refusal::TransferCoding.stand_in(head.as_bytes())).unwrap();
            text.split(' ').nth(1).unwrap().to_owned()
        };
        assert_eq!(stand_in("POST /api/v0/webhooks HTTP/1.1\r\nx: y"), "/api/v0/webhooks");
        for odd in ["", "GET", "GET http://x/ HTTP/1.1", "GET /\u{e9} HTTP/1.1", "\n\n"] {
            assert_eq!(stand_in(odd), "/", "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_bytes_come(
            requests in proptest::collection::vec(0usize..6, 0..5),
            end in proptest::option::of(0usize..3),
            cuts in proptest::collection::vec(0usize..10_000, 0..12),
        ) {
            const REQUESTS: [&str; 6] = [
                GET,
                "\r\nGET /a HTTP/1.1\r\nx: y\r\n\r\n",
                "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n\r\n\r\n",
                "POST / HTTP/1.0\r\ncontent-length: 0\r\n\r\n",
                "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456\n\r9\r\n0;x=y\r\n\r\n",
                "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n00\r\na: b\r\nc: d\r\n\r\n",
            ];
            const ENDS: [(&str, Refusal); 3] = [
                ("GET / HTTP/1.1\r\nx y\r\n\r\n", Refusal::Malformed),
                ("GET / HTTP/1.1\n", Refusal::BareLineFeed),
                ("GET / HTTP/1.1\r\ntransfer-encoding: br\r\n\r\n", Refusal::TransferCoding),
            ];
            let good: String = requests.iter().map(|i| REQUESTS[*i]).collect();
            let bad = end.map_or("", |i| ENDS[i].0);
            let (passed, refusal) = in_pieces(format!("{good}{bad}").as_bytes(), &cuts);
            prop_assert_eq!(String::from_utf8(passed).unwrap(), good);
            prop_assert_eq!(refusal, end.map(|i| ENDS[i].1));
        }
    }
}
