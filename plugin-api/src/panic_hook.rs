//! Reports the panics of the plugin's code to the server, instead of printing them to stderr.

use std::panic::PanicHookInfo;

use crate::abi::Bytes;
use crate::guard::text_of;
use crate::log_forward::Forward;

/// Makes every panic in this file report its message and location.
///
/// A `cdylib` has its own copy of the standard library, so this hook is the plugin's alone.
pub(crate) fn install(forward: &'static Forward) {
    std::panic::set_hook(Box::new(move |panic| tell(forward, panic)));
}

fn tell(forward: &Forward, panic: &PanicHookInfo<'_>) {
    let location = panic.location().map_or_else(String::new, ToString::to_string);
    let message = Bytes::text(text_of(panic.payload()));
    // SAFETY: table and owner belong together, and the texts are borrowed for the call.
    unsafe { (forward.table.panics())(forward.owner, message, Bytes::text(&location)) }
}
