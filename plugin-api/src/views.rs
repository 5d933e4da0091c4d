//! Conversions between the public types and the views that cross the boundary.

use crate::abi::{Bytes, EntryView, OutcomeView, ReasonView, ServerView};
use crate::{By, Caller, Entry, Key, Reason, Server, Unanswered};

impl Reason {
    /// The view of this reason, which must not outlive it.
    pub(crate) fn view(&self) -> ReasonView {
        let by = match self.by() {
            By::Plugin => 0,
            By::Server => 1,
        };
        ReasonView { by, code: Bytes::text(self.code()), text: Bytes::text(self.text()) }
    }

    /// A copy of what a host shows.
    ///
    /// # Safety
    ///
    /// What the view borrows must be alive.
    pub(crate) unsafe fn of_host(view: &ReasonView) -> Self {
        let by = if view.by == 1 { By::Server } else { By::Plugin };
        // SAFETY: the caller's promise.
        let (code, text) = unsafe { (view.code.as_text(), view.text.as_text()) };
        Self::received(by, code, text)
    }
}

impl OutcomeView {
    /// Shows the outcome of a call, for the time of `show`.
    #[cfg(feature = "host")]
    pub(crate) fn show<R>(outcome: Result<&[u8], &Unanswered>, show: impl FnOnce(&Self) -> R) -> R {
        let nothing = Bytes::text("");
        let no_reason = ReasonView { by: 1, code: nothing, text: nothing };
        let (how, answer, why) = match outcome {
            Ok(answer) => (0, Bytes::new(answer), no_reason),
            Err(Unanswered::Refused(why)) => (1, nothing, why.view()),
            Err(Unanswered::Cancelled) => (2, nothing, no_reason),
            Err(Unanswered::Deadline) => (3, nothing, no_reason),
            Err(Unanswered::Lost(why)) => (4, nothing, why.view()),
        };
        show(&Self { how, answer, why })
    }

    /// What a view shows; the answer is borrowed as well.
    ///
    /// # Safety
    ///
    /// What the view borrows must be alive for `'a`.
    pub(crate) unsafe fn as_result<'a>(&self) -> Result<&'a [u8], Unanswered> {
        // SAFETY: the caller's promise.
        let why = || unsafe { Reason::of_host(&self.why) };
        match self.how {
            // SAFETY: the caller's promise.
            0 => Ok(unsafe { self.answer.as_slice() }),
            1 => Err(Unanswered::Refused(why())),
            2 => Err(Unanswered::Cancelled),
            3 => Err(Unanswered::Deadline),
            // A later version may have other outcomes: no answer came, and the call may have been
            // done.
            _ => Err(Unanswered::Lost(why())),
        }
    }
}

impl Entry {
    /// The view of this entry, which must not outlive it.
    #[cfg(feature = "host")]
    pub(crate) fn view(&self) -> EntryView {
        let Self { ref name, version, server, local } = *self;
        EntryView { name: Bytes::text(name), version, server: server.0, local }
    }

    /// A copy of what a view shows.
    ///
    /// # Safety
    ///
    /// What the view borrows must be alive.
    pub(crate) unsafe fn of(view: &EntryView) -> Self {
        // SAFETY: the caller's promise.
        let name = unsafe { view.name.as_text() }.to_owned();
        Self { name, version: view.version, server: Key(view.server), local: view.local }
    }
}

impl<'a> Caller<'a> {
    /// The view of this caller, which must not outlive it.
    #[cfg(feature = "host")]
    pub(crate) fn view(&self) -> EntryView {
        let Self { name, version, server, local } = *self;
        EntryView { name: Bytes::text(name), version, server: server.0, local }
    }

    /// What a view shows, borrowed as well.
    ///
    /// # Safety
    ///
    /// What the view borrows must be alive for `'a`.
    pub(crate) unsafe fn of(view: &EntryView) -> Self {
        // SAFETY: the caller's promise.
        let name = unsafe { view.name.as_text() };
        Self { name, version: view.version, server: Key(view.server), local: view.local }
    }
}

impl Server {
    /// The view of this server, which must not outlive it.
    #[cfg(feature = "host")]
    pub(crate) fn view(&self) -> ServerView {
        ServerView { key: self.key.0, name: Bytes::text(&self.name) }
    }

    /// A copy of what a view shows.
    ///
    /// # Safety
    ///
    /// What the view borrows must be alive.
    pub(crate) unsafe fn of(view: &ServerView) -> Self {
        // SAFETY: the caller's promise.
        let name = unsafe { view.name.as_text() }.to_owned();
        Self { key: Key(view.key), name }
    }
}
