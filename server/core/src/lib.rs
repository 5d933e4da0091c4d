//! The decisions of a Trunkline server.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod address;
pub mod audit;
pub mod broker;
pub mod bymux;
pub mod calls;
pub mod control;
pub mod directory;
mod ends;
mod ids;
pub mod key;
pub mod limits;
pub mod link;
mod log_limiter;
pub mod name;
mod pages;
mod places;
pub mod printable;
pub mod reason;
pub mod rights;
pub mod route;
mod shares;
mod timers;
mod turn_budget;
mod wire;
