//! Makes the functions of a host's table out of [`HostApi`].

mod calls;
mod folders;
mod links;

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::HostApi;
use super::context::Context;
use crate::abi::{
    Bytes, EntryView, HostTable, IdentityView, Provides, ReasonView, ServerView, Sink, Status,
    TargetView, WakerView,
};
use crate::guard::guard;
use crate::{By, Channel, Interest, Reason, Target, Timer, Watch};
use calls::{answer_call, call, cancel_call, refuse_call};
use folders::{config_dir, data_dir};
use links::{addresses, close_link, invites, open_link, uses};

/// Stands for the host of all instances of this process.
///
/// Each function receives the context of an instance that is running a callback, and borrows what
/// is behind its pointers for the call. `SAFETY: lent` below stands for this.
pub(super) struct Table;

impl Provides<HostTable> for Table {
    const TABLE: HostTable = HostTable {
        identity,
        open,
        accept,
        refuse,
        write,
        credit,
        hold,
        close,
        stop_read,
        abort,
        join,
        set_timer,
        cancel_timer,
        watch,
        unwatch,
        waker,
        directory,
        links,
        panicked,
        open_link,
        close_link,
        addresses,
        uses,
        invites,
        call,
        cancel_call,
        answer_call,
        refuse_call,
        data_dir,
        config_dir,
    };
}

unsafe extern "C" fn identity(context: *const (), out: Sink<IdentityView>) -> Status {
    // SAFETY: lent.
    unsafe {
        serve(context, |api| {
            let (name, server) = (api.name(), api.server());
            out.put(&IdentityView { name: Bytes::text(&name), server: server.view() });
        })
    }
}

unsafe extern "C" fn open(
    context: *const (),
    target: *const TargetView,
    channel: *mut u64,
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: lent.
    unsafe {
        decide(context, refusal, |api| {
            api.open(&target_of(&*target)?).map(|opened| channel.write(opened.0))
        })
    }
}

unsafe extern "C" fn accept(context: *const (), channel: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.accept(Channel(channel))) }
}

unsafe extern "C" fn refuse(context: *const (), channel: u64, why: *const ReasonView) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.refuse(Channel(channel), reason_of(&*why))) }
}

unsafe extern "C" fn write(
    context: *const (),
    channel: u64,
    bytes: Bytes,
    taken: *mut usize,
) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| taken.write(api.write(Channel(channel), bytes.as_slice()))) }
}

unsafe extern "C" fn credit(context: *const (), channel: u64, amount: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.credit(Channel(channel), amount)) }
}

unsafe extern "C" fn hold(context: *const (), channel: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.hold(Channel(channel))) }
}

unsafe extern "C" fn close(context: *const (), channel: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.close(Channel(channel))) }
}

unsafe extern "C" fn stop_read(context: *const (), channel: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.stop_read(Channel(channel))) }
}

unsafe extern "C" fn abort(context: *const (), channel: u64, why: *const ReasonView) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.abort(Channel(channel), reason_of(&*why))) }
}

unsafe extern "C" fn join(context: *const (), a: u64, b: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.join(Channel(a), Channel(b))) }
}

unsafe extern "C" fn set_timer(context: *const (), after: u64, timer: *mut u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| timer.write(api.set_timer(Duration::from_nanos(after)).0)) }
}

unsafe extern "C" fn cancel_timer(context: *const (), timer: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.cancel_timer(Timer(timer))) }
}

unsafe extern "C" fn watch(
    context: *const (),
    fd: i32,
    interest: u8,
    watch: *mut u64,
    refusal: Sink<ReasonView>,
) -> Status {
    // SAFETY: lent, the descriptor too.
    unsafe {
        decide(context, refusal, |api| {
            let watched = api.watch(descriptor_of(fd)?, Interest(interest));
            watched.map(|number| watch.write(number.0))
        })
    }
}

unsafe extern "C" fn unwatch(context: *const (), watch: u64) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.unwatch(Watch(watch))) }
}

unsafe extern "C" fn waker(context: *const (), out: Sink<WakerView>) -> Status {
    // SAFETY: lent.
    unsafe {
        serve(context, |api| {
            let data = Arc::into_raw(Arc::new(api.waker())).cast();
            out.put(&WakerView {
                data,
                wake: wake_waker,
                retain: retain_waker,
                release: drop_waker,
            });
        })
    }
}

unsafe extern "C" fn directory(context: *const (), out: Sink<EntryView>) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.directory().iter().for_each(|entry| out.put(&entry.view()))) }
}

unsafe extern "C" fn links(context: *const (), out: Sink<ServerView>) -> Status {
    // SAFETY: lent.
    unsafe { serve(context, |api| api.links().iter().for_each(|link| out.put(&link.peer.view()))) }
}

unsafe extern "C" fn panicked(context: *const (), message: Bytes) -> Status {
    // SAFETY: lent.
    unsafe { (*context.cast::<Context>()).panicked(message.as_text()) }
    Status::DONE
}

unsafe extern "C" fn wake_waker(data: *const ()) {
    // SAFETY: one of its owners calls, so the waker is alive.
    let waker = unsafe { &*data.cast::<Waker>() };
    // A panic on a thread of the plugin cannot be reported.
    let _ = guard(|| waker.wake_by_ref());
}

unsafe extern "C" fn retain_waker(data: *const ()) {
    // SAFETY: `waker` made the pointer of an `Arc`, and one of its owners calls.
    unsafe { Arc::increment_strong_count(data.cast::<Waker>()) }
}

unsafe extern "C" fn drop_waker(data: *const ()) {
    // SAFETY: `waker` made the pointer of an `Arc`, and one of its owners leaves.
    let waker = unsafe { Arc::from_raw(data.cast::<Waker>()) };
    let _ = guard(|| drop(waker));
}

/// Runs a function that cannot be refused.
///
/// # Safety
///
/// `context` is that of an instance.
unsafe fn serve(context: *const (), work: impl FnOnce(&dyn HostApi)) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        guarded(context, |api| {
            work(api);
            Status::DONE
        })
    }
}

/// Runs a function with a status of its own.
///
/// # Safety
///
/// `context` is that of an instance.
unsafe fn guarded(context: *const (), work: impl FnOnce(&dyn HostApi) -> Status) -> Status {
    // SAFETY: the caller's promise; the instance owns its context.
    let context = unsafe { &*context.cast::<Context>() };
    guard(|| work(context.api())).unwrap_or_else(|message| host_panicked(context, &message))
}

/// Runs a function that may be refused.
///
/// # Safety
///
/// `context` is that of an instance, and the sink came with the running call.
unsafe fn decide(
    context: *const (),
    refusal: Sink<ReasonView>,
    work: impl FnOnce(&dyn HostApi) -> Result<(), Reason>,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        guarded(context, |api| match work(api) {
            Ok(()) => Status::DONE,
            Err(reason) => {
                refusal.put(&reason.view());
                Status::REFUSED
            }
        })
    }
}

/// Reports a panic of the server itself to the server, which may panic again.
#[cold]
fn host_panicked(context: &Context, message: &str) -> Status {
    if let Err(second) = guard(|| context.api().host_panicked(message)) {
        log::error!(target: context.log_target(), "the server panicked, and again: {second}");
    }
    Status::PANICKED
}

/// The target as a plugin passes it. A place that a later API has is refused.
///
/// # Safety
///
/// What the view borrows is alive.
unsafe fn target_of(view: &TargetView) -> Result<Target, Reason> {
    // SAFETY: the caller's promise.
    let (name, server) = unsafe { (view.name.as_text(), view.server.as_text()) };
    let target = Target::new(name).version(view.version);
    match view.place {
        0 => Ok(target),
        1 => Ok(target.here()),
        2 => Ok(target.on_server(server)),
        other => Err(unknown_place(other)),
    }
}

#[cold]
fn unknown_place(place: u8) -> Reason {
    Reason::new("bad-place", format!("this server knows no place {place} of plugins"))
}

/// A descriptor as a plugin passes it.
///
/// # Safety
///
/// It is negative, or open for `'a`.
unsafe fn descriptor_of<'a>(fd: i32) -> Result<BorrowedFd<'a>, Reason> {
    match fd {
        // SAFETY: the caller's promise.
        0.. => Ok(unsafe { BorrowedFd::borrow_raw(fd) }),
        _ => Err(Reason::new("bad-descriptor", format!("{fd} is not the number of a file"))),
    }
}

/// A plugin's reason. If its code is invalid, the reason says so, because there is no caller to
/// refuse it to.
///
/// # Safety
///
/// What the view borrows is alive.
unsafe fn reason_of(view: &ReasonView) -> Reason {
    // SAFETY: the caller's promise.
    let (code, text) = unsafe { (view.code.as_text(), view.text.as_text()) };
    Reason::from_parts(By::Plugin, code, text).unwrap_or_else(|| Reason::new("no-code", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(place: u8) -> TargetView {
        let (name, server) = (Bytes::text("echo"), Bytes::text("beta"));
        TargetView { name, version: 1, place, server }
    }

    #[test]
    fn places_that_only_a_later_version_knows_are_refused() {
        // SAFETY: the texts live forever.
        let known = [0, 1, 2].map(|place| unsafe { target_of(&to(place)) });
        let echo = || Target::new("echo").version(1);
        assert_eq!(known, [Ok(echo()), Ok(echo().here()), Ok(echo().on_server("beta"))]);
        // SAFETY: as above.
        let unknown = unsafe { target_of(&to(3)) }.unwrap_err();
        assert_eq!(unknown.to_string(), unknown_place(3).to_string());
        assert_eq!(unknown.code(), "bad-place");
    }

    #[test]
    fn a_negative_descriptor_is_refused() {
        // SAFETY: standard input is open while the process runs, and the others are negative.
        let found = [0, -1, i32::MIN].map(|fd| unsafe { descriptor_of(fd) });
        assert!(found[0].is_ok());
        for refused in &found[1..] {
            assert_eq!(refused.as_ref().unwrap_err().code(), "bad-descriptor");
        }
    }
}
