//! An envelope as it goes over the wire: compressed, where the feature `gzip` is built in. (behaviour 51)

use std::borrow::Cow;

/// How hard to try, from 0 to 9. Spans repeat their keys so much that the least effort gives a tenth of their size already.
#[cfg(feature = "gzip")]
const LEVEL: u32 = 1;

/// A body, with the value of `Content-Encoding` that belongs to it.
pub(super) struct Body<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) encoding: Option<&'static str>,
}

impl<'a> Body<'a> {
    /// An envelope as it is.
    pub(super) fn plain(envelope: &'a [u8]) -> Self {
        Body { bytes: Cow::Borrowed(envelope), encoding: None }
    }

    /// An envelope as Sentry gets it.
    #[cfg(feature = "gzip")]
    pub(super) fn of(envelope: &'a [u8]) -> Self {
        use std::io::Write as _;

        let compressed = Vec::with_capacity(envelope.len() / 8);
        let mut encoder = flate2::write::GzEncoder::new(compressed, flate2::Compression::new(LEVEL));
        // To write to a `Vec` does not fail; if it did, the envelope would go as it is.
        match encoder.write_all(envelope).and_then(|()| encoder.finish()) {
            Ok(compressed) => Body { bytes: Cow::Owned(compressed), encoding: Some("gzip") },
            Err(_) => Body::plain(envelope),
        }
    }

    /// An envelope as Sentry gets it.
    #[cfg(not(feature = "gzip"))]
    pub(super) fn of(envelope: &'a [u8]) -> Self {
        Body::plain(envelope)
    }
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use std::io::Read as _;

    use super::*;

    // behaviour 51
    #[test]
    fn what_is_compressed_is_smaller_and_the_same() {
        let envelope = br#"{"name":"child","status":"ok","attributes":{}},"#.repeat(1000);
        let body = Body::of(&envelope);
        assert_eq!(body.encoding, Some("gzip"));
        assert!(body.bytes.len() < envelope.len() / 10, "{} of {}", body.bytes.len(), envelope.len());
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*body.bytes).read_to_end(&mut unpacked).expect("it is gzip");
        assert!(unpacked == envelope, "nothing is lost on the way");
    }
}
