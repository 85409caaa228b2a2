//! The routes of requests to endpoints.

use percent_encoding::percent_decode_str;

use crate::access::policy::Scope;
use crate::failure::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /` and `GET /v1`: the description of this Worker. People and some clients request it
    /// first.
    About,
    /// `GET /healthz`: the Worker runs, whatever its settings and its gateway.
    Health,
    /// `GET /readyz`: the gateway's readiness, if it is known.
    Ready,
    /// An endpoint that requires a key.
    Api(Endpoint),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/responses`
    Responses,
    /// `/v1/responses/{id}…`
    Response(String, Action),
    /// `GET /v1/files/{id}…`
    File(String, Part),
    /// `POST /v1/audio/speech`
    Speech,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`
    Model(String),
    /// `GET /v1/key`
    Key,
    /// `/admin/v1/…`
    Admin(Resource),
}

/// The use that a client makes of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET` or `DELETE`, by the request's method.
    Itself,
    /// `POST …/cancel`
    Cancel,
    /// `GET …/input_items`
    InputItems,
}

/// The part of a file that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The description.
    Object,
    /// `…/content`: the bytes.
    Content,
}

/// A resource of the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The keys of the hub.
    Keys,
    Key(String),
    /// The rotation of a key's secret.
    Rotation(String),
    /// The record of all changes.
    Audit,
    /// The runs of the hub.
    Runs,
    /// The end of a run.
    Stop(String),
    /// The usage of all keys.
    Usage,
    /// The same, as OpenAI reports it.
    Completions,
}

/// The OpenAI API that a request uses. The two have errors of different forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    #[default]
    Chat,
    Responses,
}

impl Route {
    /// Returns the API that the request uses.
    pub fn api(&self) -> Api {
        match self {
            Self::Api(Endpoint::Responses | Endpoint::Response(..)) => Api::Responses,
            _ => Api::Chat,
        }
    }

    /// Returns the path as documents write it, without the parts that a client chose.
    pub fn path(&self) -> &'static str {
        match self {
            Self::About => "/",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Api(Endpoint::ChatCompletions) => "/v1/chat/completions",
            Self::Api(Endpoint::Responses) => "/v1/responses",
            Self::Api(Endpoint::Response(_, Action::Itself)) => "/v1/responses/{id}",
            Self::Api(Endpoint::Response(_, Action::Cancel)) => "/v1/responses/{id}/cancel",
            Self::Api(Endpoint::Response(_, Action::InputItems)) => {
                "/v1/responses/{id}/input_items"
            }
            Self::Api(Endpoint::File(_, Part::Object)) => "/v1/files/{id}",
            Self::Api(Endpoint::File(_, Part::Content)) => "/v1/files/{id}/content",
            Self::Api(Endpoint::Speech) => "/v1/audio/speech",
            Self::Api(Endpoint::Models) => "/v1/models",
            Self::Api(Endpoint::Model(_)) => "/v1/models/{id}",
            Self::Api(Endpoint::Key) => "/v1/key",
            Self::Api(Endpoint::Admin(resource)) => resource.path(),
        }
    }
}

impl Resource {
    fn path(&self) -> &'static str {
        match self {
            Self::Keys => "/admin/v1/keys",
            Self::Key(_) => "/admin/v1/keys/{id}",
            Self::Rotation(_) => "/admin/v1/keys/{id}/rotate",
            Self::Audit => "/admin/v1/audit",
            Self::Runs => "/admin/v1/runs",
            Self::Stop(_) => "/admin/v1/runs/{id}/stop",
            Self::Usage => "/admin/v1/usage",
            Self::Completions => "/v1/organization/usage/completions",
        }
    }
}

impl Endpoint {
    /// Returns the scope that a key needs, if any.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::ChatCompletions | Self::Speech => Some(Scope::Chat),
            Self::Responses | Self::Response(..) => Some(Scope::Responses),
            Self::Models | Self::Model(_) => Some(Scope::Models),
            // The key of a file had a scope for the answer.
            Self::Key | Self::File(..) => None,
            Self::Admin(_) => Some(Scope::Admin),
        }
    }
}

/// The methods that paths accept.
const POST: &str = "POST";
const GET: &str = "GET, HEAD";
const GET_DELETE: &str = "GET, HEAD, DELETE";
const GET_POST: &str = "GET, HEAD, POST";
const ALL: &str = "GET, HEAD, POST, DELETE";

impl Route {
    /// Returns the route of a request, or the failure for a request without one.
    ///
    /// A slash at the end and doubled slashes are accepted, because people type base URLs with and
    /// without a slash.
    pub fn of(method: &str, path: &str) -> Result<Self, Failure> {
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let (route, allow) = match segments.as_slice() {
            ["v1", "chat", "completions"] => (Self::Api(Endpoint::ChatCompletions), POST),
            ["v1", "responses"] => (Self::Api(Endpoint::Responses), POST),
            // OpenAI's other endpoints are no ids of responses.
            ["v1", "responses", "compact" | "input_tokens"] => return Err(Failure::UnknownUrl),
            ["v1", "responses", id] => (response(id, Action::Itself), GET_DELETE),
            ["v1", "responses", id, "cancel"] => (response(id, Action::Cancel), POST),
            ["v1", "responses", id, "input_items"] => (response(id, Action::InputItems), GET),
            ["v1", "files", id] => (file(id, Part::Object), GET),
            ["v1", "files", id, "content"] => (file(id, Part::Content), GET),
            ["v1", "audio", "speech"] => (Self::Api(Endpoint::Speech), POST),
            ["v1", "models"] => (Self::Api(Endpoint::Models), GET),
            // An id may contain a slash, plain or as %2F.
            ["v1", "models", id @ ..] => (Self::Api(Endpoint::Model(decode(&id.join("/")))), GET),
            ["v1", "key"] => (Self::Api(Endpoint::Key), GET),
            ["admin", "v1", "keys"] => (admin(Resource::Keys), GET_POST),
            ["admin", "v1", "keys", id] => (admin(Resource::Key((*id).into())), ALL),
            ["admin", "v1", "keys", id, "rotate"] => {
                (admin(Resource::Rotation((*id).into())), POST)
            }
            ["admin", "v1", "audit"] => (admin(Resource::Audit), GET),
            ["admin", "v1", "runs"] => (admin(Resource::Runs), GET),
            ["admin", "v1", "runs", id, "stop"] => (admin(Resource::Stop((*id).into())), POST),
            ["admin", "v1", "usage"] => (admin(Resource::Usage), GET),
            ["v1", "organization", "usage", "completions"] => (admin(Resource::Completions), GET),
            [] | ["v1"] => (Self::About, GET),
            ["healthz"] => (Self::Health, GET),
            ["readyz"] => (Self::Ready, GET),
            _ => return Err(Failure::UnknownUrl),
        };
        if allow.split(", ").any(|allowed| allowed == method) {
            Ok(route)
        } else {
            Err(Failure::MethodNotAllowed { allow })
        }
    }
}

fn response(id: &str, action: Action) -> Route {
    Route::Api(Endpoint::Response(id.to_owned(), action))
}

fn file(id: &str, part: Part) -> Route {
    Route::Api(Endpoint::File(id.to_owned(), part))
}

fn admin(resource: Resource) -> Route {
    Route::Api(Endpoint::Admin(resource))
}

/// Decodes an id. Bytes that are not UTF-8 become a character that no model has in its name.
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
            assert_eq!(
                Route::of(method, "/v1/models"),
                Ok(Route::Api(Endpoint::Models))
            );
            assert_eq!(
                Route::of(method, "/v1/models/"),
                Ok(Route::Api(Endpoint::Models))
            );
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
            "/v1/audio/transcriptions",
            "/v1/embeddings",
            "/v1/images/generations",
            "/v1/moderations",
            "/v1/responses/resp_1/x",
            "/v1/responses/compact",
            "/v1/responses/input_tokens",
            "/v1/key/x",
        ] {
            assert_eq!(Route::of("POST", path), Err(Failure::UnknownUrl), "{path}");
        }
    }

    #[test]
    fn a_stored_response_has_its_methods() {
        let of = |method, rest: &str| Route::of(method, &format!("/v1/responses/resp_1{rest}"));
        let found = |action| Ok(response("resp_1", action));
        let allow = |allow| Err(Failure::MethodNotAllowed { allow });
        for method in ["GET", "HEAD", "DELETE"] {
            assert_eq!(of(method, ""), found(Action::Itself));
        }
        assert_eq!(of("POST", ""), allow("GET, HEAD, DELETE"));
        assert_eq!(of("POST", "/cancel/"), found(Action::Cancel));
        assert_eq!(of("GET", "/cancel"), allow("POST"));
        assert_eq!(of("GET", "/input_items"), found(Action::InputItems));
        assert_eq!(of("DELETE", "/input_items"), allow("GET, HEAD"));
        for (rest, action) in [
            ("", Action::Itself),
            ("/cancel", Action::Cancel),
            ("/input_items", Action::InputItems),
        ] {
            let route = response("resp_1", action);
            assert_eq!(route.path(), format!("/v1/responses/{{id}}{rest}"));
            assert_eq!(route.api(), Api::Responses);
        }
    }

    #[test]
    fn a_file_has_an_object_and_bytes() {
        for (rest, part) in [("", Part::Object), ("/content", Part::Content)] {
            let path = format!("/v1/files/file-1{rest}");
            for method in ["GET", "HEAD"] {
                assert_eq!(Route::of(method, &path), Ok(file("file-1", part)));
            }
            let allow = "GET, HEAD";
            for method in ["POST", "DELETE"] {
                let refused = Err(Failure::MethodNotAllowed { allow });
                assert_eq!(Route::of(method, &path), refused);
            }
            let route = file("file-1", part);
            assert_eq!(route.path(), format!("/v1/files/{{id}}{rest}"));
        }
        assert_eq!(Route::of("POST", "/v1/files"), Err(Failure::UnknownUrl));
    }

    #[test]
    fn the_admin_api_has_its_methods() {
        let admin = |resource| Ok(Route::Api(Endpoint::Admin(resource)));
        let allow = |allow| Err(Failure::MethodNotAllowed { allow });
        assert_eq!(Route::of("POST", "/admin/v1/keys/"), admin(Resource::Keys));
        assert_eq!(
            Route::of("DELETE", "/admin/v1/keys"),
            allow("GET, HEAD, POST")
        );
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let key = admin(Resource::Key("phone".into()));
            assert_eq!(Route::of(method, "/admin/v1/keys/phone"), key);
        }
        let rotation = admin(Resource::Rotation("phone".into()));
        assert_eq!(Route::of("POST", "/admin/v1/keys/phone/rotate"), rotation);
        assert_eq!(
            Route::of("GET", "/admin/v1/keys/phone/rotate"),
            allow("POST")
        );
        assert_eq!(Route::of("GET", "/admin/v1/audit"), admin(Resource::Audit));
        assert_eq!(Route::of("GET", "/admin/v1/runs"), admin(Resource::Runs));
        let stop = admin(Resource::Stop("a1".into()));
        assert_eq!(Route::of("POST", "/admin/v1/runs/a1/stop"), stop);
        assert_eq!(Route::of("GET", "/admin/v1/runs/a1/stop"), allow("POST"));
        for path in [
            "/admin",
            "/admin/v1",
            "/admin/v1/keys/a/b",
            "/admin/v2/keys",
        ] {
            assert_eq!(Route::of("GET", path), Err(Failure::UnknownUrl), "{path}");
        }
    }

    #[test]
    fn a_route_leads_back_to_its_path() {
        assert_eq!(
            Route::of("POST", "/admin/v1/keys/claw_x/rotate")
                .unwrap()
                .path(),
            "/admin/v1/keys/{id}/rotate"
        );
        for path in [
            "/",
            "/healthz",
            "/readyz",
            "/v1/models",
            "/v1/models/{id}",
            "/v1/key",
        ] {
            assert_eq!(Route::of("GET", path).unwrap().path(), path);
        }
        for path in ["/v1/chat/completions", "/v1/responses", "/v1/audio/speech"] {
            assert_eq!(Route::of("POST", path).unwrap().path(), path);
        }
        assert_eq!(
            Route::of("GET", "/v1/models/claw_x").unwrap().path(),
            "/v1/models/{id}"
        );
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
