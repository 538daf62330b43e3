//! The routes of the application port, and the methods that each takes.

use http::Method;
use percent_encoding::percent_decode_str;

/// The routes, in the order of the OpenAPI document.
pub const ROUTES: [(&str, &str); 5] = [
    ("POST", "/recommend"),
    ("POST", "/recommend:batch"),
    ("POST", "/similar"),
    ("GET", "/model"),
    ("GET", "/openapi.json"),
];
/// Target of OPTIONS for the server as a whole (RFC 9110, 7.1).
pub const WHOLE_SERVER: &str = "*";
/// Methods of any route.
pub const ALL_METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its own method.
    pub method: &'static str,
    /// Its path, which is its label in metrics.
    pub path: &'static str,
}

impl Route {
    /// The route of a path, of which some clients percent-encode the colon.
    pub fn find(path: &str) -> Option<Self> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let (method, path) = ROUTES.into_iter().find(|(_, route)| *route == path)?;
        Some(Self { method, path })
    }

    /// All methods that it takes, as in header `allow`.
    pub fn allowed(self) -> &'static str {
        if self.method == "GET" { "GET, HEAD, OPTIONS" } else { "POST, OPTIONS" }
    }

    /// Whether it takes this method.
    pub fn takes(self, method: &Method) -> bool {
        self.allowed().split(", ").any(|allowed| allowed == method.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_percent_encoded() {
        let path = |path| Route::find(path).map(|route| route.path);
        assert_eq!(path("/recommend%3Abatch"), Some("/recommend:batch"));
        assert_eq!(path("/recommend%3abatch"), Some("/recommend:batch"));
        assert_eq!(path("/recommend"), Some("/recommend"));
        for other in ["/recommend/", "/recommend%2Fbatch", "/recommend%ff", "/recommend%", "*", ""] {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
