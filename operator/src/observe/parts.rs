//! Reads the Recommenders that a composition names, those that these name, and so on.

use recommender_crds::Recommender;

use super::{Subject, received};
use crate::{
    context::Context,
    error::Error,
    validate::composition::{Named, parts_of},
};

/// Maximum number of Recommenders that are read: a composition of 16 parts, half of which are
/// compositions, has fewer. Those beyond count as not existing.
const RECOMMENDERS_MAX: usize = 128;

/// Reads them by name.
///
/// # Errors
/// Fails if an API request fails.
pub async fn read(context: &Context, subject: &Subject<'_>, recommender: &Recommender) -> Result<Named, Error> {
    let mut named = Named::new();
    let mut open = parts_of(recommender);
    while let Some(name) = open.pop() {
        if named.contains_key(&name) || named.len() >= RECOMMENDERS_MAX {
            continue;
        }
        let found = received(context, subject.namespace, &name).await?;
        // One that is being deleted is gone in a moment.
        let found = found.filter(|found| found.metadata.deletion_timestamp.is_none());
        open.extend(found.as_ref().map(parts_of).unwrap_or_default());
        named.insert(name, found);
    }
    Ok(named)
}
