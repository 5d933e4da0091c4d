//! The functions about calls, which came with version 1.2.

use std::time::Duration;

use super::{guarded, reason_of, serve, unknown_place};
use crate::abi::{Bytes, OutcomeView, ReasonView, Sink, Status, TargetView};
use crate::host::{Callee, CalleePlace};
use crate::{Call, Reason, Unanswered};

pub(super) unsafe extern "C" fn call(
    context: *const (),
    target: *const TargetView,
    hint: *mut u64,
    request: Bytes,
    deadline: u64,
    call: *mut u64,
    outcome: Sink<OutcomeView>,
) -> Status {
    // SAFETY: lent.
    unsafe {
        let target = &*target;
        let (name, version) = (target.name.as_slice(), target.version);
        let deadline = match deadline {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        };
        let mut show = |result: Result<&[u8], &Unanswered>| {
            OutcomeView::show(result, |view| outcome.put(view));
        };
        guarded(context, |api| {
            let place = match place_of(target) {
                Ok(place) => place,
                Err(why) => {
                    show(Err(&Unanswered::Refused(why)));
                    return Status::DONE;
                }
            };
            let mut callee = Callee { name, version, place, hint: *hint };
            let pending = api.call(&mut callee, request.as_slice(), deadline, &mut show);
            hint.write(callee.hint);
            match pending {
                Some(pending) => {
                    call.write(pending.0);
                    Status::LATER
                }
                None => Status::DONE,
            }
        })
    }
}

/// Where a plugin looks for a callee. A place that a later API has is refused.
///
/// # Safety
///
/// What the view borrows is alive for `'a`.
unsafe fn place_of<'a>(view: &TargetView) -> Result<CalleePlace<'a>, Reason> {
    match view.place {
        0 => Ok(CalleePlace::Anywhere),
        1 => Ok(CalleePlace::Here),
        // SAFETY: the caller's promise.
        2 => Ok(CalleePlace::Server(unsafe { view.server.as_text() })),
        other => Err(unknown_place(other)),
    }
}

pub(super) unsafe extern "C" fn cancel_call(context: *const (), call: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.cancel(Call(call))) }
}

pub(super) unsafe extern "C" fn answer_call(
    context: *const (),
    call: u64,
    answer: Bytes,
) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.answer(Call(call), answer.as_slice())) }
}

pub(super) unsafe extern "C" fn refuse_call(
    context: *const (),
    call: u64,
    why: *const ReasonView,
) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.refuse_call(Call(call), reason_of(&*why))) }
}
