//! Helpers that several unit tests share.

use std::fmt::Debug;

use super::request::Entropy;
use crate::access::admit::Grants;
use crate::access::grant::Grant;
use crate::access::key::{KeyId, NewKey, SECRET_BYTES};
use crate::failure::Failure;

pub(super) const ENTROPY: Entropy = Entropy {
    run: [1; 16],
    session: [2; 16],
};

/// Makes the grant of a key with this id and these fields.
pub(super) fn client(id: &str, fields: &str) -> Grant {
    let key = NewKey::from_entropy(&KeyId::parse(id).unwrap(), &[7; SECRET_BYTES]);
    let mut grants = Grants::default();
    let mut problems = Vec::new();
    grants.extend(&format!("{id} {} {fields}", key.hash), &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    grants.iter().next().unwrap().clone()
}

/// Adds the model that nearly every test leaves out. A body that has a model is not changed.
pub(super) fn with_model(body: &str) -> String {
    if body.contains(r#""model""#) {
        return body.to_owned();
    }
    body.replacen('{', r#"{"model":"openclaw","#, 1)
}

/// Returns the parameter that an invalid request is refused for.
pub(super) fn refused_param<T: Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::InvalidRequest {
            param: Some(param), ..
        }) => param,
        other => panic!("{other:?}"),
    }
}
