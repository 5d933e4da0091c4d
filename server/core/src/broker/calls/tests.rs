//! Calls alone, without a broker: between plugins of a process, over streams without a link,
//! and what others have to do.

use super::streams::{Closed, Listener, PairKey};
use super::{CallTimer, Called, Callee, CalleePlace, Calls, Event, Outcome, Returned, StreamEvent};
use crate::broker::effect::{Caller, Effect, Effects, Queued, Told};
use crate::broker::misuse::Misuse;
use crate::ids::{CallId, ConnId, EndId, PluginId};
use crate::key::Key;
use crate::limits::{Limit, Limits};
use crate::name::Name;
use crate::reason::{Code, Reason};
use alloc::vec::Vec;
use core::time::Duration;

const CALLER: PluginId = PluginId(0);
const CALLEE: PluginId = PluginId(1);
const HOME: Key = Key([1; 32]);
const AWAY: Key = Key([2; 32]);
const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn end(index: usize) -> EndId {
    EndId::at(index).expect("an end")
}

/// A caller and a callee that run, and the limits of both.
fn running(limits: &Limits) -> Calls {
    let mut calls = Calls::new(limits);
    for (plugin, text) in [(CALLER, "caller"), (CALLEE, "callee")] {
        calls.plugin_starts(plugin, name(text), 1);
        calls.plugin_runs(plugin);
    }
    calls
}

fn meant(name: &[u8]) -> Callee<'_> {
    Callee { name, least: 1, place: CalleePlace::Anywhere, hint: Some(CALLEE) }
}

fn told(effects: &mut Effects) -> Vec<(PluginId, Told)> {
    let mut all = Vec::new();
    while let Some(queued) = effects.pop_front() {
        match queued {
            Queued::Effect(Effect::Tell(plugin, told)) => all.push((plugin, told)),
            other => panic!("calls only tell plugins something, not {other:?}"),
        }
    }
    all
}

fn events(calls: &mut Calls) -> Vec<Event> {
    core::iter::from_fn(|| calls.next_event()).collect()
}

fn stream_events(calls: &mut Calls) -> Vec<StreamEvent> {
    core::iter::from_fn(|| calls.next_stream_event()).collect()
}

/// All that a stream has to write, as if it were carried.
fn written(calls: &mut Calls, stream: EndId) -> Vec<u8> {
    let sender = calls.sender(stream).expect("a stream");
    let mut all = Vec::new();
    while !sender.is_empty() {
        let piece = sender.bytes().to_vec();
        sender.advance(piece.len());
        all.extend(piece);
    }
    all
}

/// A stream of calls to a plugin of another server, over a connection.
fn stream_to(calls: &mut Calls, at: EndId) -> PairKey {
    let pair = (CALLER, name("away"), AWAY);
    calls.stream_opened(pair.clone(), at, Some(ConnId(3)));
    pair
}

/// A stream of calls of a plugin of another server.
fn stream_from(calls: &mut Calls, at: EndId) {
    let caller = Caller { name: name("away"), version: 1, server: AWAY };
    calls.stream_accepted((CALLEE, at), caller, Some(ConnId(3)), Listener::OtherServer);
}

#[test]
fn a_call_to_a_plugin_that_is_not_on_the_stack_runs_at_once_and_leaves_nothing() {
    let (mut calls, mut effects) = (running(&Limits::default()), Effects::default());
    let called = calls.call_now(CALLER, &meant(b"callee"), 0, SECOND);
    assert_eq!(called, Some(Called::Run(CALLEE, CallId(1))));
    assert_eq!(calls.call_now(CALLEE, &meant(b"callee"), 0, SECOND), None, "it calls itself");
    assert!(calls.answer_at_once(CALLEE, CallId(1), b"yes"));
    assert_eq!(calls.returned(CallId(1), &mut effects), Returned::Answered(b"yes".to_vec()));
    assert_eq!((calls.open(), calls.is_settled(), effects.len()), (0, true, 0));
    assert_eq!(calls.audit(&effects), Ok(()));
}

#[test]
fn the_buffer_of_an_answer_is_used_for_the_next_one_unless_it_is_large() {
    let (mut calls, mut effects) = (running(&Limits::default()), Effects::default());
    let answered = |calls: &mut Calls, number: u64, effects: &mut Effects| {
        assert!(calls.call_now(CALLER, &meant(b"callee"), 0, SECOND).is_some());
        assert!(calls.answer_at_once(CALLEE, CallId(number), b"yes"));
        match calls.returned(CallId(number), effects) {
            Returned::Answered(answer) => answer,
            other => panic!("it was answered, not {other:?}"),
        }
    };
    let mut buffer = answered(&mut calls, 1, &mut effects);
    buffer.reserve_exact(1000);
    let size = buffer.capacity();
    calls.reuse(buffer);
    assert_eq!(answered(&mut calls, 2, &mut effects).capacity(), size);
    calls.reuse(Vec::with_capacity(1 << 20));
    assert!(answered(&mut calls, 3, &mut effects).capacity() < 1000);
}

#[test]
fn a_call_below_which_the_server_failed_is_on_the_stack_no_more() {
    let (mut calls, mut effects) = (running(&Limits::default()), Effects::default());
    let call = |calls: &mut Calls| calls.call_now(CALLER, &meant(b"callee"), 0, SECOND);
    assert_eq!(call(&mut calls), Some(Called::Run(CALLEE, CallId(1))));
    assert_eq!(call(&mut calls), None, "it is on the stack");
    assert!(calls.answer_at_once(CALLEE, CallId(1), b"late"));
    calls.unwound(CallId(1));
    assert_eq!(calls.audit(&effects), Ok(()));
    assert_eq!(call(&mut calls), Some(Called::Run(CALLEE, CallId(2))));
    assert_eq!(
        calls.returned(CallId(2), &mut effects),
        Returned::Pending(CallId(2)),
        "an answer of an earlier call is not this one's"
    );
    calls.unwound(CallId(7));
    assert_eq!(events(&mut calls), [Event::Wait(CallTimer::Deadline(CallId(2)), SECOND)]);
    assert_eq!(calls.audit(&effects), Ok(()));
}

#[test]
fn a_hint_is_believed_only_for_the_plugin_of_that_name_and_version_while_it_runs() {
    let mut calls = running(&Limits::default());
    assert_eq!(calls.call_now(CALLER, &meant(b"other"), 0, SECOND), None);
    let newer = Callee { least: 2, ..meant(b"callee") };
    assert_eq!(calls.call_now(CALLER, &newer, 0, SECOND), None);
    let never = Callee { hint: Some(PluginId(7)), ..meant(b"callee") };
    assert_eq!(calls.call_now(CALLER, &never, 0, SECOND), None);
    let _ = calls.plugin_over(CALLEE, &Reason::server(Code::PluginStopped, ""));
    assert_eq!(calls.call_now(CALLER, &meant(b"callee"), 0, SECOND), None);
    assert_eq!(calls.call_now(CALLER, &meant(b""), 0, SECOND), None);
}

#[test]
fn a_callee_that_answers_later_answers_once_and_only_calls_that_it_has() {
    let (mut calls, mut effects) = (running(&Limits::default()), Effects::default());
    let call = CallId(1);
    assert!(calls.call_now(CALLER, &meant(b"callee"), 0, SECOND).is_some());
    assert_eq!(calls.returned(call, &mut effects), Returned::Pending(call));
    let timer = CallTimer::Deadline(call);
    assert_eq!(events(&mut calls), [Event::Wait(timer, SECOND)]);
    assert_eq!(calls.answer(CALLER, call, b"", &mut effects), Err(Misuse::NoSuchCall));
    assert_eq!(calls.answer(CALLEE, call, b"yes", &mut effects), Ok(()));
    assert_eq!(calls.answer(CALLEE, call, b"no", &mut effects), Ok(()), "it is over");
    assert_eq!(events(&mut calls), [Event::WaitNoLonger(timer)]);
    assert_eq!(calls.audit(&effects), Ok(()), "the answer is charged to the caller");
    let [(CALLER, Told::Reply(_, outcome))] = &told(&mut effects)[..] else {
        panic!("one reply is told to the caller");
    };
    assert_eq!(*outcome, Outcome::Answered(b"yes".to_vec()));
    calls.reply_told(CALLER, outcome);
    assert_eq!(calls.audit(&effects), Ok(()));
}

#[test]
fn a_call_over_a_stream_is_written_and_ends_with_what_comes_back() {
    let (mut calls, mut effects) = (running(&Limits::default()), Effects::default());
    let (near, far) = (end(0), end(1));
    let pair = stream_to(&mut calls, near);
    assert_eq!(calls.stream_of(&pair), Some(near));
    let called = calls.call_over(CALLER, near, b"ask", SECOND);
    assert_eq!(called, Ok(Called::Pending(CallId(1))));
    let idle = CallTimer::Idle(near);
    let deadline = CallTimer::Deadline(CallId(1));
    let expected = [Event::Wait(idle, 10 * SECOND), Event::Wait(deadline, SECOND)];
    assert_eq!(events(&mut calls), expected);
    assert_eq!(stream_events(&mut calls), [StreamEvent::Write(near)]);

    let mut other = running(&Limits::default());
    stream_from(&mut other, far);
    let request = written(&mut calls, near);
    calls.charge_stream(near, Some(ConnId(3)));
    let _ = other.read(far, &mut &request[..], &mut effects);
    let [(CALLEE, Told::Call(call, _, bytes))] = &told(&mut effects)[..] else {
        panic!("the callee is told of the call");
    };
    assert_eq!(bytes, b"ask");
    assert!(other.call_told(*call), "it waited to be told");
    assert_eq!(other.answer(CALLEE, *call, b"answer", &mut effects), Ok(()));
    assert_eq!(stream_events(&mut other), [StreamEvent::Write(far)]);

    let answer = written(&mut other, far);
    let _ = calls.read(near, &mut &answer[..], &mut effects);
    let replied = told(&mut effects);
    let [(CALLER, Told::Reply(CallId(1), Outcome::Answered(bytes)))] = &replied[..] else {
        panic!("the caller is told the answer, and not {replied:?}");
    };
    assert_eq!(bytes, b"answer");
    assert_eq!(events(&mut calls), [Event::WaitNoLonger(deadline)]);
}

#[test]
fn a_stream_without_calls_is_closed_and_then_ended() {
    let mut calls = running(&Limits::default());
    stream_to(&mut calls, end(0));
    let idle = CallTimer::Idle(end(0));
    assert_eq!(events(&mut calls), [Event::Wait(idle, 10 * SECOND)]);
    calls.begin_turn(10 * SECOND);
    calls.look_at_idle(end(0), Closed::No);
    assert_eq!(events(&mut calls), [Event::Wait(idle, 20 * SECOND)]);
    assert_eq!(stream_events(&mut calls), [StreamEvent::Close(end(0))]);
    calls.begin_turn(20 * SECOND);
    calls.look_at_idle(end(0), Closed::ByUs);
    let [StreamEvent::Abort(_, reason)] = &stream_events(&mut calls)[..] else {
        panic!("it is ended")
    };
    assert!(reason.is(Code::Silent));
}

#[test]
fn the_calls_of_a_stream_that_is_refused_were_not_done_and_of_a_lost_one_may_have_been() {
    let refused = Reason::server(Code::NotAllowed, "");
    let lost = Reason::server(Code::LinkLost, "");
    for (reason, outcome) in
        [(refused.clone(), Outcome::Refused(refused)), (lost.clone(), Outcome::Lost(lost))]
    {
        let (mut calls, mut effects) = (running(&Limits::default()), Effects::default());
        let pair = stream_to(&mut calls, end(0));
        assert!(calls.call_over(CALLER, end(0), b"ask", SECOND).is_ok());
        calls.stream_over(end(0), Some(reason), &mut effects);
        let replied = told(&mut effects);
        assert!(
            matches!(&replied[..], [(CALLER, Told::Reply(_, told))] if *told == outcome),
            "{replied:?}"
        );
        assert_eq!((calls.stream_of(&pair), calls.open()), (None, 0));
        assert_eq!(calls.timers().count(), 0);
    }
}

#[test]
fn what_a_plugin_says_when_it_fails_is_not_told_to_another_server() {
    let (mut calls, mut effects) = (running(&Limits::default()), Effects::default());
    let mut sender = crate::calls::CallSender::default();
    sender.push(crate::calls::Kind::Request, 0, b"ask".to_vec());
    stream_from(&mut calls, end(0));
    let request = sender.bytes().to_vec();
    let _ = calls.read(end(0), &mut &request[..], &mut effects);
    let why = Reason::server(Code::PluginFailed, "panicked at src/secret.rs:7");
    for call in calls.plugin_over(CALLEE, &why) {
        calls.end_call_of(CALLEE, call, &why, &mut effects);
    }
    assert_eq!(stream_events(&mut calls), [StreamEvent::Write(end(0))]);
    let told = written(&mut calls, end(0));
    assert!(!told.windows(6).any(|window| window == b"secret"), "{told:?}");
    assert_eq!(calls.end_streams_of(CALLEE), [end(0)], "it is closed behind the outcome");
}

#[test]
fn a_plugin_that_waits_for_as_many_calls_as_it_may_makes_no_more() {
    let limits = Limits { calls: 2, ..Limits::default() };
    let (mut calls, mut effects) = (running(&limits), Effects::default());
    for call in [1, 2].map(CallId) {
        assert!(calls.call_now(CALLER, &meant(b"callee"), 0, Duration::MAX).is_some());
        assert_eq!(calls.returned(call, &mut effects), Returned::Pending(call));
    }
    assert_eq!(calls.call_now(CALLER, &meant(b"callee"), 0, Duration::MAX), None);
    let called = calls.call_here((CALLER, HOME), CALLEE, b"", Duration::MAX, &mut effects);
    assert!(called.is_err_and(|reason| reason.is(Code::TooManyCalls)));
    assert_eq!(events(&mut calls), [Event::Reached(Limit::Calls)]);
    assert_eq!(calls.cancel(CALLER, CallId(1), &mut effects), Ok(()));
    assert!(calls.call_now(CALLER, &meant(b"callee"), 0, Duration::MAX).is_some());
}

#[test]
fn nothing_begins_once_the_process_stops() {
    let mut calls = running(&Limits::default());
    calls.stop();
    assert_eq!(calls.call_now(CALLER, &meant(b"callee"), 0, SECOND), None);
    assert!(calls.may_begin(0).is_err_and(|reason| reason.is(Code::ServerStopping)));
}
