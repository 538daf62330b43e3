//! Compressed bodies: what `content-encoding` may be, and decompression within the limits of a
//! body.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use http::{HeaderMap, StatusCode, header};

use crate::{
    api::{
        body::{Budget, Received, too_large},
        error::ApiError,
        quote::quoted,
    },
    limits::BODY_BYTES_MAX,
};

/// Bytes that are decompressed at once.
const PIECE_BYTES: usize = 16 << 10;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
}

impl ContentEncoding {
    /// The encoding that the headers name.
    ///
    /// # Errors
    /// An encoding that is not supported, or several.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if headers.contains_key(header::CONTENT_ENCODING) {
                Err(unsupported("several"))
            } else {
                Ok(Self::Identity)
            };
        };
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            other => Err(unsupported(other)),
        }
    }

    /// The decoded body, which has the limits of one that is sent without encoding.
    ///
    /// # Errors
    /// A body that is not in this encoding or is too long, or an exhausted budget.
    pub fn decode(self, body: Received, budget: &Budget) -> Result<Received, ApiError> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => gunzip(&body, budget),
        }
    }
}

fn gunzip(body: &Received, budget: &Budget) -> Result<Received, ApiError> {
    let compressed = body.bytes();
    let mut gzip = MultiGzDecoder::new(&*compressed);
    let mut decoded = Budget::empty();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = gzip
            .read(&mut piece)
            .map_err(|error| ApiError::field("body", format!("not gzip, which content-encoding states: {error}")))?;
        if length == 0 {
            return Ok(decoded);
        }
        if decoded.length() + length > BODY_BYTES_MAX {
            return Err(too_large());
        }
        decoded.push(piece.get(..length).unwrap_or_default(), budget)?;
    }
}

fn unsupported(found: &str) -> ApiError {
    let detail = format!("content-encoding: {}; send gzip, or no encoding", quoted(found));
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-content-encoding", detail)
}
