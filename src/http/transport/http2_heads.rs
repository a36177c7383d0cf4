//! Unfinished request heads of HTTP/2: header blocks, which may be spread over a `HEADERS` frame and any number of
//! `CONTINUATION` frames (RFC 9113, section 4.3), and which the library keeps until they end.
//!
//! Pure: bytes in, a number out. Nothing is judged here; the library refuses what is malformed.

/// What a client sends before its first frame.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// Follows the frames of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the current frame, or of the preface, that are to come.
    left: usize,
    /// Whether they belong to a header block, and whether that ends with them.
    is_block: bool,
    is_last: bool,
    /// The beginning of the next frame.
    header: [u8; FRAME_HEADER],
    header_seen: usize,
    /// Bytes of a header block that has begun and not ended.
    unfinished: usize,
}

impl Default for Frames {
    /// Before the preface.
    fn default() -> Frames {
        let header = [0; FRAME_HEADER];
        Frames { left: PREFACE, is_block: false, is_last: false, header, header_seen: 0, unfinished: 0 }
    }
}

impl Frames {
    /// Bytes of a header block that has begun and not ended.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Goes on over the bytes that come next.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let missing = if self.left > 0 { self.left } else { FRAME_HEADER - self.header_seen };
            let (here, rest) = bytes.split_at(missing.min(bytes.len()));
            bytes = rest;
            if self.left > 0 {
                self.payload(here.len());
            } else {
                self.header[self.header_seen..][..here.len()].copy_from_slice(here);
                self.header_seen += here.len();
                if self.header_seen == FRAME_HEADER {
                    self.begin_frame();
                }
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.header_seen = 0;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        self.is_block = matches!(kind, HEADERS | CONTINUATION);
        self.is_last = flags & END_HEADERS != 0;
        self.payload(0);
    }

    fn payload(&mut self, bytes: usize) {
        self.left -= bytes;
        if self.is_block {
            self.unfinished += bytes;
            if self.is_last && self.left == 0 {
                self.unfinished = 0;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The preface and these frames: kind, flags and length of each.
    pub(in super::super) fn connection(frames: &[(u8, u8, usize)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, flags, length) in frames {
            bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes()[1..]);
            bytes.extend_from_slice(&[*kind, *flags, 0, 0, 0, 1]);
            bytes.resize(bytes.len() + length, b'x');
        }
        bytes
    }

    #[test]
    fn a_block_is_unfinished_until_its_last_frame_has_come_in_whatever_pieces() {
        const SETTINGS: u8 = 0x4;
        for (frames, unfinished) in [
            (&[(SETTINGS, 0, 0), (HEADERS, END_HEADERS, 40)][..], 0),
            (&[(HEADERS, 0, 40)], 40),
            (&[(HEADERS, 0, 40), (CONTINUATION, 0, 0), (CONTINUATION, 0, 500)], 540),
            (&[(HEADERS, 0, 40), (CONTINUATION, 0, 500), (CONTINUATION, END_HEADERS, 7)], 0),
            (&[(HEADERS, 0, 40), (CONTINUATION, END_HEADERS, 0)], 0),
            (&[(HEADERS, END_HEADERS, 40), (0, 0, 1_000), (HEADERS, 1, 9)], 9),
        ] {
            let bytes = connection(frames);
            for size in [1, 2, 7, 9, 64, bytes.len()] {
                let mut followed = Frames::default();
                bytes.chunks(size).for_each(|piece| followed.follow(piece));
                assert_eq!(followed.unfinished(), unfinished, "{frames:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_frame_counts_as_far_as_it_has_come() {
        let bytes = connection(&[(HEADERS, END_HEADERS, 40)]);
        let mut frames = Frames::default();
        frames.follow(&bytes[..bytes.len() - 10]);
        assert_eq!(frames.unfinished(), 30);
        frames.follow(&bytes[bytes.len() - 10..]);
        assert_eq!(frames.unfinished(), 0);
    }
}
