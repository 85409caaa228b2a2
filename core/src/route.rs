//! Which endpoint a request is for.

use percent_encoding::percent_decode_str;

use crate::error::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /` and `GET /v1`: what this is. People and some clients look there first.
    About,
    /// `GET /healthz`: the Worker runs, whatever its settings and its gateway.
    Health,
    /// `GET /readyz`: whether the gateway can be used, as far as is known.
    Ready,
    /// What a key is needed for.
    Api(Endpoint),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/responses`
    Responses,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`
    Model(String),
    /// `GET /v1/key`
    Key,
}

/// What a path takes.
const POST: &str = "POST";
const GET: &str = "GET, HEAD";

impl Route {
    /// The route of a request, or what to answer where there is none.
    ///
    /// A slash at the end and doubled slashes are forgiven: base URLs are typed with and without one.
    pub fn of(method: &str, path: &str) -> Result<Self, Failure> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (route, allow) = match segments.as_slice() {
            ["v1", "chat", "completions"] => (Self::Api(Endpoint::ChatCompletions), POST),
            ["v1", "responses"] => (Self::Api(Endpoint::Responses), POST),
            ["v1", "models"] => (Self::Api(Endpoint::Models), GET),
            // An id may have a slash in it, as it is or as %2F.
            ["v1", "models", id @ ..] => (Self::Api(Endpoint::Model(decode(&id.join("/")))), GET),
            ["v1", "key"] => (Self::Api(Endpoint::Key), GET),
            [] | ["v1"] => (Self::About, GET),
            ["healthz"] => (Self::Health, GET),
            ["readyz"] => (Self::Ready, GET),
            _ => return Err(Failure::UnknownPath),
        };
        if allow.split(", ").any(|allowed| allowed == method) {
            Ok(route)
        } else {
            Err(Failure::MethodNotAllowed { allow })
        }
    }
}

/// What is no UTF-8 becomes what no model is called.
fn decode(id: &str) -> String {
    percent_decode_str(id).decode_utf8_lossy().into_owned()
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
            assert_eq!(
                Route::of("POST", path),
                Ok(Route::Api(Endpoint::ChatCompletions)),
                "{path}"
            );
            for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "post"] {
                assert_eq!(
                    Route::of(method, path),
                    Err(Failure::MethodNotAllowed { allow: "POST" }),
                    "{method}"
                );
            }
        }
        for path in ["/v1/responses", "//v1/responses/"] {
            assert_eq!(Route::of("POST", path), Ok(Route::Api(Endpoint::Responses)));
        }
        for method in ["GET", "HEAD"] {
            assert_eq!(Route::of(method, "/v1/models"), Ok(Route::Api(Endpoint::Models)));
            assert_eq!(Route::of(method, "/v1/models/"), Ok(Route::Api(Endpoint::Models)));
            assert_eq!(Route::of(method, "/v1/key"), Ok(Route::Api(Endpoint::Key)));
            assert_eq!(Route::of(method, "/healthz"), Ok(Route::Health));
            assert_eq!(Route::of(method, "/readyz"), Ok(Route::Ready));
            for path in ["/", "", "/v1", "/v1/"] {
                assert_eq!(Route::of(method, path), Ok(Route::About));
            }
        }
        for path in [
            "/v1/models",
            "/v1/models/main",
            "/v1/key",
            "/",
            "/v1",
            "/healthz",
            "/readyz",
        ] {
            assert_eq!(
                Route::of("POST", path),
                Err(Failure::MethodNotAllowed { allow: "GET, HEAD" }),
                "{path}"
            );
        }
        for path in [
            "/v1/chat",
            "/index.html",
            "/favicon.ico",
            "/v1/chat/completions/x",
            "/V1/chat/completions",
            "/v1/completions",
            "/v1/responses/resp_1",
            "/v1/key/x",
        ] {
            assert_eq!(Route::of("POST", path), Err(Failure::UnknownPath), "{path}");
        }
    }

    #[test]
    fn a_models_id_may_have_a_slash_in_it() {
        for path in [
            "/v1/models/openclaw/main",
            "/v1/models/openclaw%2Fmain",
            "/v1/models/openclaw%2fmain/",
        ] {
            assert_eq!(
                Route::of("GET", path),
                Ok(Route::Api(Endpoint::Model("openclaw/main".into()))),
                "{path}"
            );
        }
        assert_eq!(
            Route::of("GET", "/v1/models/agent%3Amain"),
            Ok(Route::Api(Endpoint::Model("agent:main".into())))
        );
        assert_eq!(
            Route::of("GET", "/v1/models/%ff"),
            Ok(Route::Api(Endpoint::Model("\u{FFFD}".into())))
        );
    }
}
