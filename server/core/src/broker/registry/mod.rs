//! Registry: which plugins there are, who may see them, and who has been told of them.

pub(crate) mod announce;
pub(crate) mod changes;
pub(crate) mod hosts;
pub(crate) mod news;
pub(crate) mod offers;
pub(crate) mod partners;
pub(crate) mod plugins;
