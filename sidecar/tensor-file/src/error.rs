//! Errors of reading a container and of its tensors.

/// Why bytes are not a valid file of tensors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorFileError {
    /// The container cannot be read.
    #[error("{0}")]
    Container(String),
    /// A tensor is missing or not valid.
    #[error("{tensor}: {problem}")]
    Corrupt {
        /// Name of the tensor.
        tensor: String,
        /// Problem of the tensor.
        problem: String,
    },
}

impl TensorFileError {
    /// A tensor that is missing or not valid.
    pub fn corrupt(tensor: &str, problem: impl Into<String>) -> Self {
        Self::Corrupt { tensor: tensor.to_owned(), problem: problem.into() }
    }
}
