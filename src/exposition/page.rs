//! One answer to a scrape: segments as one gzip member, or as text.

use std::sync::Arc;

use bytes::Bytes;
use flate2::Crc;

use super::segment::{Inflate, Segment};

/// The fixed head of a gzip member: deflate, no name, no time, unknown system.
const GZIP_HEAD: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// How long its tail is: CRC and length.
const GZIP_TAIL: usize = 8;

/// Segments shorter than this are copied together, up to [`LONG`] bytes: each piece of an answer
/// costs as much to send as some KiB.
const SHORT: usize = 8 * 1024;
const LONG: usize = 64 * 1024;

/// Segments one behind the other, summed up once and not at each scrape.
#[derive(Debug)]
pub(super) struct Stitched {
    deflated: Arc<[Bytes]>,
    crc: Crc,
    len: u64,
}

impl Stitched {
    pub(super) fn of<'a>(segments: impl Iterator<Item = &'a Segment>) -> Self {
        let (mut crc, mut len) = (Crc::new(), 0);
        let mut deflated = Vec::new();
        let mut together = Vec::new();
        for segment in segments {
            crc.combine(&segment.crc);
            len += segment.len;
            let short = segment.deflated.len() < SHORT;
            if !together.is_empty() && (!short || together.len() + segment.deflated.len() > LONG) {
                deflated.push(Bytes::copy_from_slice(&together));
                together.clear();
            }
            if short {
                together.extend_from_slice(&segment.deflated);
            } else {
                deflated.push(segment.deflated.clone());
            }
        }
        if !together.is_empty() {
            deflated.push(Bytes::copy_from_slice(&together));
        }
        Self { deflated: deflated.into(), crc, len }
    }

    /// A page with `own` behind it that ends in `last`, which has the end mark.
    pub(super) fn page(&self, own: &Segment, last: &Segment) -> Page {
        let mut crc = Crc::new();
        for part in [&self.crc, &own.crc, &last.crc] {
            crc.combine(part);
        }
        // Copied together, with room for the tail of the gzip member: both are short.
        let mut behind = Vec::with_capacity(own.deflated.len() + last.deflated.len() + GZIP_TAIL);
        behind.extend_from_slice(&own.deflated);
        behind.extend_from_slice(&last.deflated);
        Page {
            deflated: Arc::clone(&self.deflated),
            behind,
            crc,
            len: self.len + own.len + last.len,
        }
    }

    /// How many bytes it has, deflated.
    pub(super) fn size(&self) -> usize {
        self.deflated.iter().map(Bytes::len).sum()
    }
}

/// One answer to a scrape, still compressed.
#[derive(Debug)]
pub struct Page {
    deflated: Arc<[Bytes]>,
    behind: Vec<u8>,
    crc: Crc,
    len: u64,
}

impl Page {
    /// The page as one gzip member, in pieces that are not copied.
    #[must_use]
    pub fn gzip(mut self) -> Vec<Bytes> {
        let mut parts = Vec::with_capacity(self.deflated.len() + 2);
        parts.push(Bytes::from_static(GZIP_HEAD));
        parts.extend_from_slice(&self.deflated);
        self.behind.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.behind.extend_from_slice(&self.crc.amount().to_le_bytes());
        parts.push(self.behind.into());
        parts
    }

    /// The page as text, inflated as it is read.
    #[must_use]
    pub fn plain(self) -> Inflate {
        let mut deflated = self.deflated.to_vec();
        deflated.push(self.behind.into());
        Inflate::new(deflated, self.len)
    }
}
