//! The parts of a request's address. The runtime has parsed it, so the address is complete.

/// Returns the path of an address.
pub fn path(url: &str) -> &str {
    let (_, after_scheme) = url.split_once("://").unwrap_or_default();
    let begin = after_scheme.find('/').unwrap_or(after_scheme.len());
    let path = after_scheme.get(begin..).unwrap_or_default();
    path.split(['?', '#']).next().unwrap_or_default()
}

/// Returns the query of an address, if it has one.
pub fn query(url: &str) -> Option<&str> {
    url.split_once('?').map(|(_, query)| query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_path_and_may_have_a_query() {
        for (url, expected_path, expected_query) in [
            ("https://a.example/", "/", None),
            (
                "http://a.example:8787/v1/models?a=/b?c",
                "/v1/models",
                Some("a=/b?c"),
            ),
            ("https://a.example/v1/key#a", "/v1/key", None),
            ("https://a.example//v1?", "//v1", Some("")),
        ] {
            assert_eq!(
                (path(url), query(url)),
                (expected_path, expected_query),
                "{url}"
            );
        }
    }
}
