//! Which endpoint a request is for.

use crate::error::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    ChatCompletions,
}

impl Route {
    /// The route of a request, or what to answer where there is none.
    ///
    /// A slash at the end and doubled slashes are forgiven: base URLs are typed with and without one.
    pub fn of(method: &str, path: &str) -> Result<Self, Failure> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next(), segments.next(), segments.next()) {
            (Some("v1"), Some("chat"), Some("completions"), None) if method == "POST" => Ok(Self::ChatCompletions),
            (Some("v1"), Some("chat"), Some("completions"), None) => Err(Failure::MethodNotAllowed { allow: "POST" }),
            _ => Err(Failure::UnknownPath),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_that_exist_are_found() {
        for path in [
            "/v1/chat/completions",
            "/v1/chat/completions/",
            "//v1/chat//completions",
        ] {
            assert_eq!(Route::of("POST", path), Ok(Route::ChatCompletions), "{path}");
            for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "post"] {
                assert_eq!(
                    Route::of(method, path),
                    Err(Failure::MethodNotAllowed { allow: "POST" }),
                    "{method}"
                );
            }
        }
        for path in [
            "/",
            "",
            "/v1",
            "/v1/chat",
            "/v1/chat/completions/x",
            "/V1/chat/completions",
            "/v1/completions",
        ] {
            assert_eq!(Route::of("POST", path), Err(Failure::UnknownPath), "{path}");
        }
    }
}
