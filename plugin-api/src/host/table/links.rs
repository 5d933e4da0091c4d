//! The functions about links, addresses and partners, which came with version 1.1.

use super::{decide, serve};
use crate::abi::{Bytes, ReasonView, Sink, Status};
use crate::{Key, Reach};

pub(super) unsafe extern "C" fn open_link(
    context: *const (),
    address: Bytes,
    key: *mut [u8; 32],
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: lent.
    unsafe {
        decide(context, refusal, |api| {
            api.open_link(address.as_text()).map(|expected| key.write(expected.0))
        })
    }
}

pub(super) unsafe extern "C" fn close_link(
    context: *const (),
    server: *const [u8; 32],
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: lent.
    unsafe { decide(context, refusal, |api| api.close_link(Key(*server))) }
}

pub(super) unsafe extern "C" fn addresses(
    context: *const (),
    reach: u8,
    out: Sink<Bytes>,
) -> Status {
    // An unknown reach comes from a later version; no address has it.
    let Some(reach) = Reach::numbered(reach) else { return Status::DONE };
    // SAFETY: lent.
    unsafe {
        serve(context, |api| {
            api.addresses(reach).iter().for_each(|address| out.put(&Bytes::text(address)));
        })
    }
}

pub(super) unsafe extern "C" fn uses(
    context: *const (),
    name: Bytes,
    version: u64,
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: lent.
    unsafe { decide(context, refusal, |api| api.uses(name.as_text(), version)) }
}

pub(super) unsafe extern "C" fn invites(
    context: *const (),
    name: Bytes,
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: lent.
    unsafe { decide(context, refusal, |api| api.invites(name.as_text())) }
}
