//! Meetings: how a channel finds its route: tickets, attempts and direct connections.

pub(crate) mod attempts;
pub(crate) mod direct;
pub(crate) mod opening;
pub(crate) mod requests;
pub(crate) mod tickets;
