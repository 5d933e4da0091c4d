//! The driver: executes the commands of its control socket, one at a time.

use std::collections::HashSet;

use trunkline_plugin::prelude::*;

use crate::calls::Calls;
use crate::command::{Command, What, count, error};
use crate::control::Control;
use crate::run::Run;

/// The measuring side.
pub(crate) struct Driver {
    control: Control,
    run: Option<Run>,
    calls: Option<Calls>,
    /// Idle channels that are kept.
    held: HashSet<Channel>,
    /// How many of them are not open yet, or not ended yet.
    pending: usize,
}

impl Driver {
    pub(crate) fn listen(host: &Host, path: &str) -> Result<Self, Reason> {
        let control = Control::listen(host, path)?;
        Ok(Self { control, run: None, calls: None, held: HashSet::new(), pending: 0 })
    }

    pub(crate) fn ready(&mut self, host: &Host, watch: Watch) {
        match self.control.ready(host, watch) {
            Ok(lines) => lines.iter().for_each(|line| self.obey(host, line)),
            Err(why) => log::error!("the control socket: {why}"),
        }
    }

    fn obey(&mut self, host: &Host, line: &str) {
        let begun = Command::read(line).and_then(|command| self.begin(host, &command));
        if let Err(why) = begun {
            self.control.answer(&error(&why.to_string()));
        }
    }

    fn begin(&mut self, host: &Host, command: &Command) -> Result<(), Reason> {
        match command.what {
            What::Run if self.run.is_some() => {
                return Err(Reason::new("busy", "one measurement at a time"));
            }
            What::Run => self.run = Some(Run::open(host, command)?),
            What::Call => {
                let calls = self.calls.insert(Calls::new(command));
                let progress = calls.go_on(host);
                self.called(progress);
            }
            What::Hold => {
                for _ in 0..command.pings {
                    self.held.insert(host.open(&command.target())?);
                    self.pending += 1;
                }
            }
            What::Release => {
                self.pending = self.held.len();
                let why = Reason::new("released", "it is not needed any more");
                self.held.iter().for_each(|channel| host.abort(*channel, why.clone()));
                self.told(self.pending == 0, 0);
            }
            What::Directory => self.told(true, host.directory().len()),
        }
        Ok(())
    }

    pub(crate) fn reply(&mut self, host: &Host, _: Call, outcome: Result<&[u8], Unanswered>) {
        if let Some(calls) = &mut self.calls {
            let progress = calls.reply(host, outcome.as_ref().copied());
            self.called(progress);
        }
    }

    /// Answers when all calls have ended.
    fn called(&mut self, progress: Result<Option<String>, String>) {
        let line = match progress {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(problem) => error(&problem),
        };
        self.calls = None;
        self.control.answer(&line);
    }

    fn told(&mut self, done: bool, number: usize) {
        if done {
            self.control.answer(&count(number));
        }
    }

    pub(crate) fn opened(&mut self, host: &Host, channel: Channel) {
        if self.held.contains(&channel) {
            self.pending -= 1;
            self.told(self.pending == 0, self.held.len());
        } else if let Some(run) = &mut self.run {
            run.opened(host, channel);
        }
    }

    pub(crate) fn credit(&mut self, host: &Host, channel: Channel) {
        if let Some(run) = &mut self.run {
            run.credit(host, channel);
        }
    }

    pub(crate) fn write(&mut self, host: &Host, channel: Channel, bytes: &[u8]) {
        if let Some(run) = &mut self.run {
            run.write(host, channel, bytes);
        }
    }

    pub(crate) fn time_is_up(&mut self, host: &Host) {
        if let Some(run) = &mut self.run {
            run.time_is_up(host);
        }
    }

    pub(crate) fn ended(&mut self, _host: &Host, channel: Channel, why: Option<&Reason>) {
        if self.held.remove(&channel) {
            let ours = why.is_some_and(|why| why.code() == "released");
            if !ours {
                let text = why.map_or("in order".to_owned(), ToString::to_string);
                self.control.answer(&error(&format!("a channel that was held ended: {text}")));
            }
            self.pending = self.pending.saturating_sub(1);
            return self.told(ours && self.held.is_empty(), 0);
        }
        if self.run.as_mut().is_some_and(|run| run.ended(channel, why))
            && let Some(run) = self.run.take()
        {
            let line = run.report().unwrap_or_else(|problem| error(&problem));
            self.control.answer(&line);
        }
    }
}
