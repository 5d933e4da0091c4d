//! A loaded plugin file, from which instances are started.

use std::fmt;
use std::rc::Rc;

use super::context::Context;
use super::instance::Instance;
use super::log_target::Owner;
use super::{HostApi, StartError};
use crate::abi::{AboutView, Bytes, ModuleRef, Sink, UseView, slice_of};
use crate::about::is_name;
use crate::export::Export;
use crate::{About, Plugin};

/// A plugin's code: what it is, and how to start it. It stays loaded forever.
#[derive(Clone, Copy)]
pub struct Module {
    table: ModuleRef,
    about: About,
}

impl Module {
    /// A module from a plugin's file, whose log and panic hook are connected to this process.
    ///
    /// # Errors
    ///
    /// One sentence, if the plugin was built so that its panics cannot be caught, or if its
    /// declarations are invalid.
    ///
    /// # Safety
    ///
    /// The table's layout was checked, and its code is never unloaded.
    pub unsafe fn from_file(table: ModuleRef) -> Result<Self, String> {
        if !table.unwinds() {
            return Err("it is built with panic = \"abort\", so that a panic of the plugin would \
                        end the server; build it with panic = \"unwind\""
                .to_owned());
        }
        let mut about = Err("it declares neither name nor version".to_owned());
        // SAFETY: a module shows what is alive, and names that live as long as its code.
        let mut take = |view: &AboutView| about = unsafe { about_of(view) };
        // SAFETY: the sink is used during the call only.
        unsafe { (table.about())(Sink::new(&mut take)) };
        let about = about?;
        let owner = Owner::leaked(about.name());
        // SAFETY: the owner lives forever, and belongs to the table.
        unsafe { (table.connect())(Owner::table(), owner) };
        Ok(Self { table, about })
    }

    /// A module from a type of this process, for tests and measurements: everything goes through
    /// the ABI, but log and panic hook are the process's own.
    #[must_use]
    pub fn of<P: Plugin>() -> Self {
        Self { table: crate::abi::module::<Export<P>>(), about: P::ABOUT }
    }

    /// What the plugin declares about itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Starts an instance, which reaches its server through `host`. A module may have several
    /// instances.
    ///
    /// `config` is the plugin's configuration as JSON text. `host` is called already while the
    /// plugin starts.
    ///
    /// # Errors
    ///
    /// The plugin's own reason, or its failure.
    pub fn create(&self, host: Rc<dyn HostApi>, config: &str) -> Result<Instance, StartError> {
        Instance::start(self.table, Context::new(host), config)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.about).finish()
    }
}

/// What the plugin declares about itself, checked because it may have been built by another
/// version.
///
/// # Safety
///
/// What the view shows is alive, and its names live forever.
unsafe fn about_of(view: &AboutView) -> Result<About, String> {
    // SAFETY: the caller's promise; each list comes with its own length.
    let (uses, invites) =
        unsafe { (slice_of(view.uses, view.uses_len), slice_of(view.invites, view.invites_len)) };
    // SAFETY: the caller's promise.
    let mut about = About::new(unsafe { name_of(view.name) }?, view.version);
    if uses.len().max(invites.len()) > crate::about::MOST_NAMES {
        return Err(format!("the plugin {} names too many other plugins", about.name()));
    }
    for &UseView { name, version } in uses {
        // SAFETY: the caller's promise.
        about = about.uses(unsafe { name_of(name) }?, version);
    }
    for &name in invites {
        // SAFETY: the caller's promise.
        about = about.invites(unsafe { name_of(name) }?);
    }
    Ok(about)
}

/// A plugin's name, checked.
///
/// # Safety
///
/// The text lives forever.
unsafe fn name_of(text: Bytes) -> Result<&'static str, String> {
    // SAFETY: the caller's promise.
    match unsafe { text.as_text() } {
        name if is_name(name) => Ok(name),
        name => Err(format!("{name:?} is not a plugin's name: 1 to 64 of a-z 0-9 - . _")),
    }
}
