//! What the broker says of itself: status, explanations, and the audit of tests.

pub(crate) mod audit;
pub(crate) mod directs;
pub(crate) mod explain;
pub(crate) mod failures;
mod invitations;
pub(crate) mod status;
mod unlinked;
