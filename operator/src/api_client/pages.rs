//! Lists in pages: how many objects a page has, and what becomes of their objects.

use std::fmt::Debug;

use http::Uri;
use kube::{Api, api::ListParams, runtime::watcher};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Objects in a page of a list. A page that is larger than a response may be has fewer.
pub const OBJECTS_PER_PAGE: u32 = 20;
/// Divisor of the number of objects in a page that was too large: 20, 4, 1.
const SHRINK: u32 = 5;

/// Config of a watch whose lists have pages of [`OBJECTS_PER_PAGE`].
pub fn paged_watch() -> watcher::Config {
    watcher::Config::default().page_size(OBJECTS_PER_PAGE)
}

/// Reads a list in pages, and passes on the objects of each before the next one is read, so that
/// only what `take` keeps of them remains. `action` is what fails if a request does.
///
/// # Errors
/// Fails if a request fails, or if `take` does.
pub async fn for_each_object<K>(
    api: &Api<K>,
    selected: ListParams,
    action: &str,
    mut take: impl FnMut(K) -> Result<(), Error>,
) -> Result<(), Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut page = selected.limit(OBJECTS_PER_PAGE);
    loop {
        let objects = api.list(&page).await.map_err(Error::api(action))?;
        objects.items.into_iter().try_for_each(&mut take)?;
        match objects.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(()),
        }
    }
}

/// The request for a smaller page; `None` if this is not a request for a page, or if the page has
/// one object.
pub(super) fn smaller(uri: &Uri) -> Option<Uri> {
    let limit_of = |part: &str| part.strip_prefix("limit=")?.parse::<u32>().ok();
    let parts = uri.query()?.split('&');
    let limit = parts.clone().find_map(limit_of).filter(|limit| *limit > 1)?;
    let next = format!("limit={}", (limit / SHRINK).max(1));
    let query: Vec<&str> = parts.map(|part| if limit_of(part).is_some() { next.as_str() } else { part }).collect();
    let mut found = uri.clone().into_parts();
    found.path_and_query = Some(format!("{}?{}", uri.path(), query.join("&")).parse().ok()?);
    Uri::from_parts(found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shrinks_until_it_has_one_object() {
        let mut uri: Uri = "https://api:6443/api/v1/pods?labelSelector=a%2Fb&limit=20&continue=x".parse().unwrap();
        let mut limits = Vec::new();
        while let Some(next) = smaller(&uri) {
            limits.push(next.to_string());
            uri = next;
        }
        let page = |limit: u32| format!("https://api:6443/api/v1/pods?labelSelector=a%2Fb&limit={limit}&continue=x");
        assert_eq!(limits, [page(4), page(1)]);
        for whole in ["/api/v1/pods", "/api/v1/pods?labelSelector=a", "/api/v1/pods?limit=x"] {
            assert_eq!(smaller(&whole.parse().unwrap()), None, "{whole}");
        }
    }
}
