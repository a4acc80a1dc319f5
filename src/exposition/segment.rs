//! Segments of raw deflate that can be concatenated to one gzip member.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress};

/// Text goes into the compressor, and comes out of the inflater, in blocks of this many bytes.
const BLOCK: usize = 64 * 1024;

/// The maximum length of a block without compression, and of its head.
const MAX_STORED: usize = 65_535;
const STORED_HEAD: usize = 5;

/// A piece of text, deflated. It begins and ends on a byte boundary and has no back-references
/// beyond its start, so segments in any order are a valid deflate stream, as long as the last one has
/// the end mark. That is what lets a page reuse the segments of shards that did not change.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) deflated: Bytes,
    /// The CRC of the text, of which that of the whole page is combined without reading the text
    /// again.
    pub(super) crc: Crc,
    /// The length of the text in bytes.
    pub(super) len: u64,
}

impl Segment {
    /// The last segment of a page, with the end mark, in blocks without compression (RFC 1951,
    /// 3.2.4).
    pub(super) fn stored(text: &[u8]) -> Self {
        let mut deflated =
            Vec::with_capacity(text.len() + STORED_HEAD * text.len().div_ceil(MAX_STORED).max(1));
        let mut rest = text;
        loop {
            let (block, after) = rest.split_at(rest.len().min(MAX_STORED));
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

/// Deflates text as it is written; holds no more than a block of it.
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

    /// The text that is not yet deflated, to append to. Call
    /// [`deflate_full_block`](Self::deflate_full_block) after a line or so.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.staged
    }

    /// Deflates the text so far, if it is a block or more.
    pub(super) fn deflate_full_block(&mut self) {
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
        // A sync flush ends on a byte boundary, too, but keeps the window: the next segment would
        // refer to the text of this one, and inflate to something else behind any other. A full
        // flush clears the window.
        self.deflate_staged(FlushCompress::Full);
        // Copied into exactly the bytes it needs; the buffer serves the next segment.
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
                .expect("compression without a dictionary does not fail");
            done += usize::try_from(self.deflate.total_in() - before)
                .expect("no more is read than is there");
            // A full buffer may mean that the flush has more to write.
            let has_room = self.deflated.len() < self.deflated.capacity();
            if done == self.staged.len() && has_room {
                break;
            }
        }
        self.staged.clear();
    }
}

/// Inflates segments block by block, for a client that does not accept gzip.
#[derive(Debug)]
pub struct Inflate {
    inflate: Decompress,
    segments: std::vec::IntoIter<Bytes>,
    input: Bytes,
    remaining: u64,
}

impl Inflate {
    /// `segments` in order, the last one with the end mark; `len` is the length of their text.
    pub(super) fn new(segments: Vec<Bytes>, len: u64) -> Self {
        Self {
            inflate: Decompress::new(false),
            segments: segments.into_iter(),
            input: Bytes::new(),
            remaining: len,
        }
    }

    /// How many bytes of text are still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }
}

/// The text in blocks of at most 64 KiB.
impl Iterator for Inflate {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.remaining == 0 {
            return None;
        }
        let mut block =
            Vec::with_capacity(usize::try_from(self.remaining).unwrap_or(BLOCK).min(BLOCK));
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
                .expect("segments are deflated by this module");
            let used = usize::try_from(self.inflate.total_in() - before)
                .expect("no more is read than is there");
            drop(self.input.split_to(used));
        }
        self.remaining -=
            u64::try_from(block.len()).expect("a length fits 64 bits").min(self.remaining);
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
    fn stored_text_of_any_length_inflates_to_itself() {
        for len in
            [0, 1, MAX_STORED - 1, MAX_STORED, MAX_STORED + 1, 2 * MAX_STORED, 2 * MAX_STORED + 1]
        {
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
            assert_eq!(stored.deflated.len(), len + STORED_HEAD * len.div_ceil(MAX_STORED).max(1));
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
