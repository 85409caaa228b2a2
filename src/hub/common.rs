//! The memory and the connection to the gateway, which all requests of the object share.

use std::cell::{Cell, OnceCell};
use std::ops::Deref;
use std::rc::Rc;

use clawfront_core::access::grant::{Grant, Home};
use clawfront_core::access::hub_key::HubKey;
use clawfront_core::access::key::KeyId;
use clawfront_core::config::Config;

use crate::hub::books::{Books, Shared};
use crate::hub::link::Link;
use crate::hub::store::Store;

/// The memory and the connection of one object.
pub(crate) struct Common {
    books: Shared,
    link: OnceCell<Link>,
    /// The runs that an earlier object left are adopted.
    has_adopted: Cell<bool>,
}

impl Common {
    /// Makes them for an object that has just been made.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            books: Shared::new(Books::new(store)),
            link: OnceCell::new(),
            has_adopted: Cell::default(),
        }
    }

    /// Returns the moment from which the key of an admitted client is not valid, in milliseconds
    /// since the Unix epoch. Of a key that the hub has made it can change at any time.
    pub(crate) fn ends_ms(&self, client: &Grant) -> Option<u64> {
        match client.home {
            Home::ClientKeys => client.expires_ms(),
            Home::Hub => self.ends_of_hub_ms(&client.id),
        }
    }

    /// Does the same for a key that the hub has made: 0 if there is none.
    pub(crate) fn ends_of_hub_ms(&self, id: &KeyId) -> Option<u64> {
        self.keys(|keys| keys.find(id).map_or(Some(0), HubKey::ends_ms))
    }

    /// Returns true at the first call.
    pub(crate) fn begin_adoption(&self) -> bool {
        !self.has_adopted.replace(true)
    }

    /// Returns the connection. The settings are the same as long as the object lives.
    pub(crate) fn link(&self, config: &Rc<Config>) -> &Link {
        let make = || Link::new(Rc::clone(config), Rc::clone(&self.books));
        self.link.get_or_init(make)
    }
}

impl Deref for Common {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.books
    }
}
