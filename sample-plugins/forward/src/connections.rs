//! The table of all connections, by number, channel or watch.

use std::collections::HashMap;

use trunkline_plugin::{Channel, Watch};

use crate::connection::Connection;

/// A connection's number, which is never reused.
pub(crate) type Id = u64;

/// The table of connections.
#[derive(Default)]
pub(crate) struct Connections {
    all: HashMap<Id, Connection>,
    by_channel: HashMap<Channel, Id>,
    by_watch: HashMap<Watch, Id>,
    last: Id,
}

impl Connections {
    /// Puts a connection into the table.
    pub(crate) fn add(&mut self, connection: Connection) {
        self.last += 1;
        self.all.insert(self.last, connection);
        self.index(self.last);
    }

    /// Updates the index after a connection's channel or watch changed.
    pub(crate) fn index(&mut self, id: Id) {
        let Some(connection) = self.all.get(&id) else { return };
        self.by_channel.insert(connection.channel, id);
        if let Some(watch) = connection.watch {
            self.by_watch.insert(watch, id);
        }
    }

    /// Forgets a channel that has ended; returns its connection.
    pub(crate) fn forget_channel(&mut self, channel: Channel) -> Option<Id> {
        self.by_channel.remove(&channel)
    }

    pub(crate) fn with_channel(&self, channel: Channel) -> Option<Id> {
        self.by_channel.get(&channel).copied()
    }

    pub(crate) fn with_watch(&self, watch: Watch) -> Option<Id> {
        self.by_watch.get(&watch).copied()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Connection> {
        self.all.get_mut(&id)
    }

    /// Takes a connection out of the table.
    pub(crate) fn remove(&mut self, id: Id) -> Option<Connection> {
        let connection = self.all.remove(&id)?;
        self.by_channel.remove(&connection.channel);
        if let Some(watch) = connection.watch {
            self.by_watch.remove(&watch);
        }
        Some(connection)
    }

    /// The numbers of all connections.
    pub(crate) fn ids(&self) -> Vec<Id> {
        self.all.keys().copied().collect()
    }
}
