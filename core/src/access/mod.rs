//! Client keys: their rights, their entries, the admission of their bearers, and their counts.

pub mod admit;
pub mod bearer;
pub mod date;
pub mod edit;
pub mod entry;
pub mod field;
pub mod grant;
pub mod hub_key;
pub mod key;
pub mod origin;
pub mod places;
pub mod policy;
pub mod proof;
pub mod quota;
pub mod status;
pub mod throttle;
pub mod usage;
mod value;
mod window;
