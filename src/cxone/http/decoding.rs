//! Bodies as they come over the wire → what they say.

use std::io::Write as _;
use std::mem;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::transport::{TransportError, TransportFault};

/// How much is unpacked at once. It becomes a thousand times as much at most, and that has to be in
/// memory.
const STEP_BYTES: usize = 4096;

/// A body in pieces.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, TransportError>>;

/// `pieces` decoded as `headers` say: as they are, or by gzip, in one member or several. Any other
/// coding, which nobody asked for, is an error in place of the body.
pub(crate) fn decoded(headers: &HeaderMap, pieces: Pieces) -> Pieces {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let text = values.map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let text = text.collect::<Vec<_>>().join(",");
    let mut codings =
        text.split(',').map(str::trim).filter(|coding| !matches!(*coding, "" | "identity"));
    match (codings.next(), codings.next()) {
        (None, _) => pieces,
        (Some("gzip" | "x-gzip"), None) => unpacked(pieces),
        (Some(_), _) => {
            let detail = format!("its Content-Encoding is `{text}`, and only gzip was asked for");
            let error = TransportError::new(TransportFault::Coding, detail);
            stream::iter([Err(error)]).boxed()
        }
    }
}

/// A body that is being unpacked.
struct Unpacking {
    pieces: Pieces,
    /// What came and is not unpacked yet.
    packed: Bytes,
    decoder: MultiGzDecoder<Vec<u8>>,
    has_begun: bool,
}

fn unpacked(pieces: Pieces) -> Pieces {
    let unpacking = Unpacking {
        pieces,
        packed: Bytes::new(),
        decoder: MultiGzDecoder::new(Vec::new()),
        has_begun: false,
    };
    stream::unfold(Some(unpacking), |unpacking| async move {
        let mut unpacking = unpacking?;
        match unpacking.next().await {
            Some(Ok(piece)) => Some((Ok(piece), Some(unpacking))),
            Some(Err(error)) => Some((Err(error), None)),
            None => {
                let rest = unpacking.finish().transpose()?;
                Some((rest, None))
            }
        }
    })
    .boxed()
}

impl Unpacking {
    /// The next piece of what is unpacked, if there is more to come.
    async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            if self.packed.is_empty() {
                match self.pieces.next().await? {
                    Ok(piece) => self.packed = piece,
                    Err(error) => return Some(Err(error)),
                }
            }
            let step = self.packed.split_to(self.packed.len().min(STEP_BYTES));
            self.has_begun |= !step.is_empty();
            if let Err(cause) = self.decoder.write_all(&step) {
                return Some(Err(no_gzip(&cause)));
            }
            let piece = mem::take(self.decoder.get_mut());
            if !piece.is_empty() {
                return Some(Ok(Bytes::from(piece)));
            }
        }
    }

    /// What is left when all has come: an error where the last member is not whole. An empty body
    /// has no member.
    fn finish(mut self) -> Result<Option<Bytes>, TransportError> {
        if !self.has_begun {
            return Ok(None);
        }
        self.decoder.try_finish().map_err(|cause| no_gzip(&cause))?;
        let rest = mem::take(self.decoder.get_mut());
        Ok((!rest.is_empty()).then(|| Bytes::from(rest)))
    }
}

fn no_gzip(cause: &std::io::Error) -> TransportError {
    TransportError::new(TransportFault::Cut, format!("it is not whole, or no gzip: {cause}"))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn member(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes of `body`, which arrives in pieces of a size, under these headers.
    fn read(codings: &[&str], body: &[u8], piece: usize) -> Result<Vec<u8>, TransportFault> {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(CONTENT_ENCODING, coding.parse().unwrap());
        }
        let pieces: Vec<_> =
            body.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let decoded = decoded(&headers, stream::iter(pieces).boxed());
        let pieces: Vec<_> =
            futures_util::FutureExt::now_or_never(decoded.collect()).expect("all of it is there");
        let pieces: Result<Vec<Bytes>, TransportError> = pieces.into_iter().collect();
        pieces.map(|pieces| pieces.concat()).map_err(|error| error.fault)
    }

    #[test]
    fn gzip_is_known_by_all_its_names_and_in_several_members() {
        let packed = [member(b"one "), member(b""), member(b"two")].concat();
        for piece in [1, 7, 10_000] {
            for codings in [
                &["gzip"][..],
                &["GZIP"],
                &["x-gzip"],
                &[" Gzip , identity"],
                &["identity", "gzip"],
            ] {
                assert_eq!(read(codings, &packed, piece), Ok(b"one two".to_vec()), "{codings:?}");
            }
        }
        for codings in [&[][..], &["identity"], &["IDENTITY"], &[""]] {
            assert_eq!(read(codings, b"plain", 2), Ok(b"plain".to_vec()), "{codings:?}");
        }
        assert_eq!(read(&["gzip"], b"", 1), Ok(Vec::new()), "no body");
    }

    #[test]
    fn a_coding_that_was_not_asked_for_is_rejected() {
        for codings in [&["br"][..], &["deflate"], &["zstd"], &["gzip, gzip"], &["gzip", "br"]] {
            assert_eq!(read(codings, b"abc", 9), Err(TransportFault::Coding), "{codings:?}");
        }
    }

    #[test]
    fn gzip_that_is_cut_or_none_is_an_error() {
        let whole = [member(&b"one ".repeat(3000)), member(b"two")].concat();
        for end in (1..whole.len()).filter(|end| *end != whole.len() - member(b"two").len()) {
            assert_eq!(read(&["gzip"], &whole[..end], 9), Err(TransportFault::Cut), "{end}");
        }
        let mut wrong = whole.clone();
        let place = wrong.len() - 6;
        wrong[place] ^= 1;
        assert_eq!(read(&["gzip"], &wrong, 9), Err(TransportFault::Cut), "a wrong checksum");
        assert_eq!(read(&["gzip"], b"plain", 9), Err(TransportFault::Cut));
        let trailing = [&whole[..], b"garbage"].concat();
        assert_eq!(read(&["gzip"], &trailing, 9), Err(TransportFault::Cut));
    }

    #[test]
    fn a_step_becomes_a_few_megabytes_at_most() {
        let packed = member(&vec![0; 64 << 20]);
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let pieces = stream::iter([Ok(Bytes::from(packed))]).boxed();
        let sizes = decoded(&headers, pieces).map(|piece| piece.unwrap().len()).collect::<Vec<_>>();
        let sizes = futures_util::FutureExt::now_or_never(sizes).expect("all of it is there");
        assert_eq!(sizes.iter().sum::<usize>(), 64 << 20);
        assert!(sizes.iter().all(|size| *size < 5 << 20), "{:?}", sizes.iter().max());
    }
}
