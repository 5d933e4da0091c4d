//! The functions about folders, which came with version 1.3.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{decide, serve};
use crate::abi::{Bytes, ReasonView, Sink, Status};

pub(super) unsafe extern "C" fn data_dir(
    context: *const (),
    out: Sink<Bytes>,
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: lent.
    unsafe { decide(context, refusal, |api| api.data_dir().map(|folder| show(&folder, out))) }
}

pub(super) unsafe extern "C" fn config_dir(context: *const (), out: Sink<Bytes>) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| show(&api.config_dir(), out)) }
}

/// Shows a path.
///
/// # Safety
///
/// The sink came with the running call.
unsafe fn show(path: &Path, out: Sink<Bytes>) {
    // SAFETY: the caller's promise.
    unsafe { out.put(&Bytes::new(path.as_os_str().as_bytes())) }
}
