//! The answer to a scrape: segments as one gzip member, or as text.

use std::sync::Arc;

use bytes::Bytes;
use flate2::Crc;

use super::segment::{Inflate, Segment};

/// The fixed head of a gzip member: deflate, no name, no time, unknown system.
const GZIP_HEAD: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The length of its tail: CRC and length of the text.
const GZIP_TAIL: usize = 8;

/// Segments shorter than this are joined, up to [`MAX_JOINED`] bytes: sending another part costs as
/// much as copying some KiB.
const SHORT: usize = 8 * 1024;
const MAX_JOINED: usize = 64 * 1024;

/// Concatenated segments. Their CRCs are combined here once, not at each scrape: combining is
/// arithmetic on the lengths, but a page may have thousands of segments.
#[derive(Debug)]
pub(super) struct Stitched {
    deflated: Arc<[Bytes]>,
    crc: Crc,
    len: u64,
}

impl Stitched {
    pub(super) fn new(segments: &[&Segment]) -> Self {
        let (mut crc, mut len) = (Crc::new(), 0);
        let mut deflated = Vec::new();
        let mut joined = Vec::new();
        for segment in segments {
            crc.combine(&segment.crc);
            len += segment.len;
            let short = segment.deflated.len() < SHORT;
            if !joined.is_empty() && (!short || joined.len() + segment.deflated.len() > MAX_JOINED)
            {
                deflated.push(Bytes::copy_from_slice(&joined));
                joined.clear();
            }
            if short {
                joined.extend_from_slice(&segment.deflated);
            } else {
                deflated.push(segment.deflated.clone());
            }
        }
        if !joined.is_empty() {
            deflated.push(Bytes::copy_from_slice(&joined));
        }
        Self { deflated: deflated.into(), crc, len }
    }

    /// A page that ends with `exporter` and `last`, which has the end mark.
    pub(super) fn page(&self, exporter: &Segment, last: &Segment) -> Page {
        let mut crc = Crc::new();
        for part in [&self.crc, &exporter.crc, &last.crc] {
            crc.combine(part);
        }
        // Joined, with room for the tail of the gzip member: both are short.
        let mut tail =
            Vec::with_capacity(exporter.deflated.len() + last.deflated.len() + GZIP_TAIL);
        tail.extend_from_slice(&exporter.deflated);
        tail.extend_from_slice(&last.deflated);
        Page {
            deflated: Arc::clone(&self.deflated),
            tail,
            crc,
            len: self.len + exporter.len + last.len,
        }
    }

    /// Its compressed size in bytes.
    pub(super) fn size(&self) -> usize {
        self.deflated.iter().map(Bytes::len).sum()
    }
}

/// The answer to a scrape, still compressed.
#[derive(Debug)]
pub struct Page {
    deflated: Arc<[Bytes]>,
    tail: Vec<u8>,
    crc: Crc,
    len: u64,
}

impl Page {
    /// The page as one gzip member, in parts that are not copied.
    #[must_use]
    pub fn gzip(mut self) -> Vec<Bytes> {
        let mut parts = Vec::with_capacity(self.deflated.len() + 2);
        parts.push(Bytes::from_static(GZIP_HEAD));
        parts.extend_from_slice(&self.deflated);
        self.tail.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.tail.extend_from_slice(&self.crc.amount().to_le_bytes());
        parts.push(self.tail.into());
        parts
    }

    /// The page as text, inflated while it is read.
    #[must_use]
    pub fn plain(self) -> Inflate {
        let mut deflated = self.deflated.to_vec();
        deflated.push(self.tail.into());
        Inflate::new(deflated, self.len)
    }
}
