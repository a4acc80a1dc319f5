//! Raw-deflate segments that can be put one behind the other into one gzip member.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress};

/// Text is handed to the compressor, and handed out by the inflater, in blocks of this many bytes.
const BLOCK: usize = 64 * 1024;

/// The longest block without compression, and how many bytes stand before each.
const STORED: usize = 65_535;
const STORED_HEAD: usize = 5;

/// A piece of text, deflated. It begins and ends at a byte's edge and refers to nothing before it,
/// so any order of segments is a valid deflate stream, as long as the one with the end mark comes
/// last.
#[derive(Debug)]
pub(super) struct Segment {
    /// The deflated text.
    pub(super) deflated: Bytes,
    /// The CRC of the text.
    pub(super) crc: Crc,
    /// The length of the text in bytes.
    pub(super) len: u64,
}

impl Segment {
    /// The last segment of a page, as it is: RFC 1951, 3.2.4, blocks without compression.
    pub(super) fn stored(text: &[u8]) -> Self {
        let mut deflated =
            Vec::with_capacity(text.len() + STORED_HEAD * text.len().div_ceil(STORED).max(1));
        let mut rest = text;
        loop {
            let (block, after) = rest.split_at(rest.len().min(STORED));
            let len = u16::try_from(block.len()).expect("a block is as long as 16 bits can say");
            deflated.push(u8::from(after.is_empty()));
            deflated.extend_from_slice(&len.to_le_bytes());
            deflated.extend_from_slice(&(!len).to_le_bytes());
            deflated.extend_from_slice(block);
            if after.is_empty() {
                break;
            }
            rest = after;
        }
        let mut crc = Crc::new();
        crc.update(text);
        Self {
            deflated: deflated.into(),
            crc,
            len: u64::try_from(text.len()).expect("a length fits 64 bits"),
        }
    }
}

/// Deflates text that is written bit by bit; never holds more than a block of it.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    deflate: Compress,
    staged: Vec<u8>,
    deflated: Vec<u8>,
    crc: Crc,
    len: u64,
}

impl SegmentWriter {
    pub(super) fn new() -> Self {
        let deflate = Compress::new(Compression::default(), false);
        Self { deflate, staged: Vec::new(), deflated: Vec::new(), crc: Crc::new(), len: 0 }
    }

    /// The text not yet deflated, to be appended to. Call [`SegmentWriter::relieve`] after a line
    /// or so.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.staged
    }

    /// Deflates what stands there, if it is a block or more.
    pub(super) fn relieve(&mut self) {
        if self.staged.len() >= BLOCK {
            self.deflate_staged(FlushCompress::None);
        }
    }

    /// Whether nothing was written since the last segment.
    pub(super) fn is_empty(&self) -> bool {
        self.staged.is_empty() && self.len == 0
    }

    /// Ends the segment; the next one can be written at once.
    pub(super) fn finish(&mut self) -> Segment {
        // Full, not sync: the next segment must not refer to this one.
        self.deflate_staged(FlushCompress::Full);
        // Copied into just the bytes it needs; the buffer serves the next one.
        let deflated = Bytes::copy_from_slice(&self.deflated);
        self.deflated.clear();
        Segment { deflated, crc: std::mem::take(&mut self.crc), len: std::mem::take(&mut self.len) }
    }

    fn deflate_staged(&mut self, flush: FlushCompress) {
        self.crc.update(&self.staged);
        self.len += u64::try_from(self.staged.len()).expect("a length fits 64 bits");
        let mut done = 0;
        loop {
            self.deflated.reserve(1024 + (self.staged.len() - done) / 8);
            let before = self.deflate.total_in();
            let _status = self
                .deflate
                .compress_vec(&self.staged[done..], &mut self.deflated, flush)
                .expect("no dictionary is asked for");
            done += usize::try_from(self.deflate.total_in() - before)
                .expect("no more is read than is there");
            let has_room = self.deflated.len() < self.deflated.capacity();
            if done == self.staged.len() && has_room {
                break;
            }
        }
        self.staged.clear();
    }
}

/// Inflates segments again, block by block, for a client that reads no gzip.
#[derive(Debug)]
pub struct Inflate {
    inflate: Decompress,
    segments: std::vec::IntoIter<Bytes>,
    input: Bytes,
    left: u64,
}

impl Inflate {
    /// `segments` in order, the last one with the end mark; `len` is the length of their text.
    pub(super) fn new(segments: Vec<Bytes>, len: u64) -> Self {
        Self {
            inflate: Decompress::new(false),
            segments: segments.into_iter(),
            input: Bytes::new(),
            left: len,
        }
    }

    /// How many bytes of text are still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.left
    }
}

/// The text in blocks of at most 64 KiB.
impl Iterator for Inflate {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let mut block = Vec::with_capacity(usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK));
        while block.len() < block.capacity() {
            if self.input.is_empty() {
                match self.segments.next() {
                    Some(next) => self.input = next,
                    None => break,
                }
            }
            let before = self.inflate.total_in();
            self.inflate
                .decompress_vec(&self.input, &mut block, FlushDecompress::None)
                .expect("segments were deflated by this module");
            let used = usize::try_from(self.inflate.total_in() - before)
                .expect("no more is read than is there");
            drop(self.input.split_to(used));
        }
        self.left -= u64::try_from(block.len()).expect("a length fits 64 bits").min(self.left);
        (!block.is_empty()).then(|| block.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(writer: &mut SegmentWriter, text: &str) -> Segment {
        writer.text().extend_from_slice(text.as_bytes());
        writer.finish()
    }

    #[test]
    fn segments_inflate_to_their_texts_in_any_order() {
        let mut writer = SegmentWriter::new();
        let long = "cxone_agents{state=\"Ready\"} 1\n".repeat(10_000);
        let one = segment(&mut writer, &long);
        let other = segment(&mut writer, "cxone_agents{state=\"Ready\"} 2\n");
        let none = segment(&mut writer, "");
        let end = Segment::stored(b"# EOF\n");
        for order in [
            [&one, &other, &none, &end],
            [&none, &other, &one, &end],
            [&other, &other, &other, &end],
        ] {
            let len = order.iter().map(|s| s.len).sum();
            let parts = order.iter().map(|s| s.deflated.clone()).collect();
            let blocks: Vec<Bytes> = Inflate::new(parts, len).collect();
            let text = String::from_utf8(blocks.concat()).unwrap();
            assert_eq!(u64::try_from(text.len()).unwrap(), len);
            assert!(text.ends_with("2\n# EOF\n") || text.ends_with("1\n# EOF\n"));
            assert!(blocks.iter().all(|b| b.len() <= BLOCK));
        }
    }

    #[test]
    fn text_that_is_stored_is_read_again_whatever_its_length() {
        for len in [0, 1, STORED - 1, STORED, STORED + 1, 2 * STORED, 2 * STORED + 1] {
            let text: Vec<u8> = b"cxone_agents 1\n".iter().copied().cycle().take(len).collect();
            let stored = Segment::stored(&text);
            let mut inflated = Vec::with_capacity(len + 1);
            let ended = Decompress::new(false).decompress_vec(
                &stored.deflated,
                &mut inflated,
                FlushDecompress::Finish,
            );
            assert_eq!(
                (ended.ok(), &inflated),
                (Some(flate2::Status::StreamEnd), &text),
                "{len} bytes"
            );
            assert_eq!(stored.deflated.len(), len + STORED_HEAD * len.div_ceil(STORED).max(1));
        }
    }

    #[test]
    fn the_crcs_of_segments_combine_to_the_crc_of_the_whole() {
        let mut writer = SegmentWriter::new();
        let mut crc = Crc::new();
        for text in ["", "one", "", "two two", ""] {
            crc.combine(&segment(&mut writer, text).crc);
        }
        let mut whole = Crc::new();
        whole.update(b"onetwo two");
        assert_eq!((crc.sum(), crc.amount()), (whole.sum(), whole.amount()));
    }
}
