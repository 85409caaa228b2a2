//! The gateway's HTTP route for media of an assistant: the file that an agent named, as bytes.
//!
//! It takes the token of a device, and the path as the agent wrote it. The gateway itself refuses a
//! path that is outside of the agent's folders. Source: OpenClaw 2026.9.6, `control-ui`, read and
//! measured; OpenClaw 2026.3 has no such route.

use crate::gateway::credential::{Auth, Credential};
use crate::gateway::upgrade::Headers;

/// The route's path.
pub const PATH: &str = "/__openclaw__/assistant-media";

/// Returns the parameters of a request, names and values in turn.
pub fn query(source: &str, session: &str, agent: &str) -> Vec<String> {
    ["source", source, "sessionKey", session, "agentId", agent]
        .map(str::to_owned)
        .into()
}

/// Returns the headers of a request, names and values in turn: `own` are those of every request to
/// the gateway.
pub fn headers(own: &Headers, credential: &Credential, range: Option<String>) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    for (name, value) in own {
        headers.extend([name.clone(), value.expose().to_owned()]);
    }
    let (Auth::DeviceToken(secret) | Auth::Token(secret) | Auth::Password(secret)) =
        &credential.auth;
    headers.extend([
        "authorization".to_owned(),
        ["Bearer ", secret.expose()].concat(),
        // The length and the ranges are those of the file.
        "accept-encoding".to_owned(),
        "identity".to_owned(),
    ]);
    if let Some(range) = range {
        headers.extend(["range".to_owned(), range]);
    }
    headers
}
