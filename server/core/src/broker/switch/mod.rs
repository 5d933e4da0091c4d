//! Switch: the ends of channels, how they are joined, their credit, and the links that carry
//! them. It knows numbers only.

pub(crate) mod channels;
pub(crate) mod conns;
pub(crate) mod credit;
pub(crate) mod join;
pub(crate) mod streams;
pub(crate) mod writing;
