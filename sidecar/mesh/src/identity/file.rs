//! Reading of a file that may be replaced at any time, with a bound.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rustls::pki_types::pem;

use super::refusal::Refusal;

/// Why the content of a file is not used. The messages name what was expected, and never contain
/// bytes of the file, which holds a private key.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is too large.
    #[error("has more than {0} bytes")]
    TooLarge(u64),
    /// Not PEM.
    #[error("is not valid PEM")]
    Pem,
    /// The number of private keys is not one.
    #[error("contains {0} private keys, expected one")]
    Keys(usize),
    /// Too few or too many certificates.
    #[error("contains {found} certificates, expected 1 to {maximum}")]
    Certificates {
        /// Number in the file.
        found: usize,
        /// Maximum.
        maximum: usize,
    },
    /// A certificate that cannot be used, by its position from 1.
    #[error("certificate {position}: {reason}")]
    Certificate {
        /// Position in the file.
        position: usize,
        /// What is wrong.
        reason: Refusal,
    },
    /// An anchor that is not the certificate of a CA.
    #[error("certificate {0} is not that of a CA that may sign certificates")]
    NotACa(usize),
    /// The key is of an unsupported kind, or not that of the certificate.
    #[error("the private key does not fit the certificate, or is of an unsupported kind: {0}")]
    Key(rustls::Error),
}

impl From<pem::Error> for FileError {
    fn from(_: pem::Error) -> Self {
        Self::Pem
    }
}

/// Reads a file of at most `maximum` bytes.
pub fn read(path: &Path, maximum: u64) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    File::open(path)?.take(maximum + 1).read_to_end(&mut content)?;
    if content.len() as u64 > maximum {
        return Err(FileError::TooLarge(maximum));
    }
    Ok(content)
}
