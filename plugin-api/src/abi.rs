//! The stable ABI: tables of plain functions and the views that cross with them.
//!
//! This module is the only place in this crate that knows `abi_stable`. The two sides share three
//! tables: a module's ([`ModuleTable`]), its host's ([`HostTable`]) and the log's ([`LogTable`]).
//!
//! # Rules
//!
//! * Tables only grow: a new field goes to the end, with `#[sabi(missing_field(option))]`, and
//!   `last_prefix_field` stays where it was in 1.0. Every other struct is frozen.
//! * The caller of a field that was added later defines what happens without it: a
//!   [`Host`](crate::Host) refuses with `not-supported`.
//! * A pointer may be null where the length beside it is 0. A number that only a later version has
//!   (of a change, a place, an outcome) is ignored where it comes from a host, and refused where it
//!   comes from a plugin.
//! * No panic crosses: each function is guarded on its own side and answers with a [`Status`].
//! * Whatever is behind a pointer is borrowed for the time of the call. A value with an owner
//!   crosses by being passed to a [`Sink`], which copies it.
//! * Functions of a module and of its host are called on the thread of the host loop only; those
//!   of the log and of a waker on any thread.

mod tables;
mod views;

use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult};
use abi_stable::prefix_type::WithMetadata;
use abi_stable::sabi_types::VersionStrings;

pub use tables::{HostRef, HostTable, LogRef, LogTable, ModuleRef, ModuleTable};
#[cfg(feature = "host")]
pub(crate) use views::slice_of;
pub use views::{
    AboutView, Bytes, EntryView, IdentityView, OutcomeView, ReasonView, RecordView, ServerView,
    Sink, Status, TargetView, UseView, WakerView,
};

/// A type that stands for a table of functions.
pub trait Provides<Table>: 'static {
    /// The table.
    const TABLE: Table;
}

/// Gives the constant tables of a type an address, because references to them need one.
struct Fixed<E>(E);

impl<E: Provides<ModuleTable>> Fixed<E> {
    const MODULE: &'static WithMetadata<ModuleTable> = &WithMetadata::new(E::TABLE);
}

impl<E: Provides<HostTable>> Fixed<E> {
    const HOST: &'static WithMetadata<HostTable> = &WithMetadata::new(E::TABLE);
}

impl<E: Provides<LogTable>> Fixed<E> {
    const LOG: &'static WithMetadata<LogTable> = &WithMetadata::new(E::TABLE);
}

/// The module that `E` stands for.
#[must_use]
pub fn module<E: Provides<ModuleTable>>() -> ModuleRef {
    ModuleRef(Fixed::<E>::MODULE.static_as_prefix())
}

/// The host that `E` stands for.
#[must_use]
pub fn host<E: Provides<HostTable>>() -> HostRef {
    HostRef(Fixed::<E>::HOST.static_as_prefix())
}

/// The log that `E` stands for.
#[must_use]
pub fn log<E: Provides<LogTable>>() -> LogRef {
    LogRef(Fixed::<E>::LOG.static_as_prefix())
}

/// The version of this API: what plugin and host compare first.
pub const VERSION: VersionStrings = abi_stable::package_version_strings!();

impl RootModule for ModuleRef {
    const BASE_NAME: &'static str = "plugin";
    const NAME: &'static str = "plugin";
    const VERSION_STRINGS: VersionStrings = VERSION;

    abi_stable::declare_root_module_statics! {ModuleRef}
}

/// What a plugin's file exports: with it a host finds version, layout and module.
pub type Header = LibHeader;

/// The header of the module that `E` stands for; [`export_plugin!`](crate::export_plugin) puts it
/// in a static, as `#[export_root_module]` would if it did not need `abi_stable` in the author's
/// crate.
#[must_use]
pub const fn header<E: Provides<ModuleTable>>() -> Header {
    // SAFETY: the constructor gives a `ModuleRef`, the type that stands here.
    unsafe { LibHeader::from_constructor::<ModuleRef>(construct::<E>, CheckTypeLayout::Yes) }
}

/// Returns the module to the loader of the file.
extern "C" fn construct<E: Provides<ModuleTable>>() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(module::<E>)
}

#[cfg(test)]
mod tests {
    /// `export_plugin!` has to repeat this name.
    #[test]
    fn the_exported_name_is_the_one_that_abi_stable_looks_for() {
        let expected = "_1as_0lib_1header_0root_bmodule_bloader";
        assert_eq!(abi_stable::library::ROOT_MODULE_LOADER_NAME, expected);
    }
}
