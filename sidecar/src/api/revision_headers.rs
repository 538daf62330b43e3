//! Headers that name a revision.

use http::HeaderName;

/// Header of a response: the revision that answered, or that serves if the request is for another
/// one.
pub const REVISION_HEADER: HeaderName = HeaderName::from_static("x-model-revision");
/// Header of a request: the only revision that may answer.
pub const IF_REVISION_HEADER: HeaderName = HeaderName::from_static("if-revision");
