//! The control API: plain HTTP under `/sim/`, for the tests that drive this gateway.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::gateway::Gateway;

pub(crate) async fn journal(State(gateway): State<Arc<Gateway>>) -> Response {
    let state = gateway.state();
    match serde_json::to_value(&state.journal) {
        Ok(mut journal) => {
            if let Some(journal) = journal.as_object_mut() {
                journal.insert("pairing".to_owned(), state.pairing.summary());
                journal.insert("faults_left".to_owned(), json!(state.faults.left()));
            }
            answer(StatusCode::OK, &journal)
        }
        Err(error) => refuse(&error.to_string()),
    }
}

pub(crate) async fn reset(State(gateway): State<Arc<Gateway>>) -> Response {
    gateway.reset();
    done()
}

pub(crate) async fn crash(State(gateway): State<Arc<Gateway>>) -> Response {
    gateway.crash();
    done()
}

pub(crate) async fn resume(State(gateway): State<Arc<Gateway>>) -> Response {
    gateway
        .resumes
        .send_modify(|count| *count = count.saturating_add(1));
    done()
}

/// Does the same as an administrator's `sessions.reset`.
pub(crate) async fn reset_session(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Order {
        session_key: String,
    }
    match serde_json::from_slice::<Order>(&body) {
        Ok(order) => {
            let protocol = gateway.protocol();
            gateway
                .state()
                .histories
                .reset(protocol, &order.session_key);
            done()
        }
        Err(error) => refuse(&error.to_string()),
    }
}

pub(crate) async fn drop_connections(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        code: Option<u16>,
    }
    match serde_json::from_slice::<Order>(&body) {
        Ok(order) => {
            gateway.drop_connections(order.code);
            done()
        }
        Err(error) => refuse(&error.to_string()),
    }
}

pub(crate) async fn fault(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        fault: Option<String>,
        count: Option<u64>,
    }
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return refuse(&error.to_string()),
    };
    match order.fault.as_deref().map(Fault::parse).transpose() {
        Ok(fault) => {
            gateway.state().faults.set(fault, order.count);
            done()
        }
        Err(unknown) => refuse(&unknown),
    }
}

pub(crate) async fn approve(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Order {
        request_id: String,
    }
    match serde_json::from_slice::<Order>(&body) {
        Ok(order) if gateway.state().pairing.approve(&order.request_id) => done(),
        Ok(_) => refuse("no such request waits"),
        Err(error) => refuse(&error.to_string()),
    }
}

pub(crate) async fn revoke(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Order {
        device_id: String,
    }
    match serde_json::from_slice::<Order>(&body) {
        Ok(order) if gateway.state().pairing.revoke(&order.device_id) => done(),
        Ok(_) => refuse("there is no such device"),
        Err(error) => refuse(&error.to_string()),
    }
}

fn done() -> Response {
    answer(StatusCode::OK, &json!({ "ok": true }))
}

fn refuse(why: &str) -> Response {
    answer(
        StatusCode::BAD_REQUEST,
        &json!({ "ok": false, "error": why }),
    )
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}
