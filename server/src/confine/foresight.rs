//! What a process will say that is to be confined, as far as another one can find it out: for
//! `trunkline check`.

use super::files::{self, granted_paths};
use super::groups::Group;
use super::identity::Account;
use super::{Report, System, limits};
use crate::config::Confine;

/// What is wrong, and what the system lacks. The plugin does not start with any of the first, and
/// with the second as a best effort only.
pub(crate) fn foresee(asked: &Confine) -> (Vec<String>, Option<String>) {
    let mut wrong: Vec<String> = granted_paths(asked).filter_map(Result::err).collect();
    let account = asked.user.as_deref().map(Account::look_up);
    wrong.extend(account.as_ref().and_then(|account| account.as_ref().err()).cloned());
    let other_user = account.is_some_and(|account| account.is_ok_and(|account| account.differs()));
    let system = System { landlock: files::version(), other_user };
    // Without its bounds being an error, all that are missing are found at once.
    let mut report = Report::new(true);
    let files = || files::files(system).map(|()| String::new());
    let found = report
        .add("read", Some(""), |_| files())
        .and_then(|()| report.add("write", Some(""), |_| files()))
        .and_then(|()| report.add("signals", Some(""), |_| files::signals(system, String::new())))
        .and_then(|()| {
            let group = || Group::is_possible().map(|()| String::new());
            report.add("cpu-percent", asked.cpu_percent, |_| group())?;
            report.add("processes", Some(asked.processes), |most| {
                limits::countable(*most, system, group())
            })
        });
    wrong.extend(found.err());
    (wrong, report.lacking())
}
