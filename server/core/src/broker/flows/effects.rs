//! The effects that the shell performs, one after the other: what plugins are told is checked
//! again, because it may have become pointless while it waited.

use super::call_streams;
use crate::broker::calls::Calls;
use crate::broker::effect::Queued;
use crate::broker::switch::Switch;
use crate::broker::{Broker, Effect, PluginId, Told};

impl Broker {
    /// The next effect to perform. One that has become pointless is not given.
    #[inline]
    pub fn next_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            return None;
        }
        let effect = self.effect_that_holds();
        self.settle();
        effect
    }

    #[inline(never)]
    fn effect_that_holds(&mut self) -> Option<Effect> {
        loop {
            match self.effects.pop_front()? {
                Queued::News(server, name) => {
                    let told = self.registry.news_of(server, name);
                    self.effects.push_front_all(told);
                }
                Queued::Effect(Effect::Tell(plugin, told)) => {
                    let of_calls =
                        told.channel().is_some_and(|told| self.switch.carries_calls(told));
                    let whom = (plugin, self.registry.is_live(plugin));
                    match still_true(&mut self.switch, &mut self.calls, whom, told) {
                        Some(told) if of_calls => {
                            let told = (plugin, told);
                            let effects = &mut self.effects;
                            call_streams::told(&mut self.calls, &mut self.switch, told, effects);
                            self.settle();
                        }
                        Some(told) => return Some(Effect::Tell(plugin, told)),
                        None => {}
                    }
                }
                Queued::Effect(other) => return Some(other),
            }
        }
    }
}

/// Drops effects that have become pointless between being queued and being performed.
fn still_true(
    switch: &mut Switch,
    calls: &mut Calls,
    (plugin, live): (PluginId, bool),
    told: Told,
) -> Option<Told> {
    match &told {
        Told::Ended(handle, _) => {
            let id = switch.live(*handle)?;
            switch.drop_end(id);
            live.then_some(told)
        }
        Told::Open(handle, _) => (live && switch.live(*handle).is_some()).then_some(told),
        Told::Opened(handle)
        | Told::Credit(handle)
        | Told::Deliver(handle)
        | Told::Close(handle)
        | Told::StopRead(handle) => (live && switch.is_heard(*handle)).then_some(told),
        Told::Call(call, ..) => (calls.call_told(*call) && live).then_some(told),
        Told::Reply(_, outcome) => {
            calls.reply_told(plugin, outcome);
            live.then_some(told)
        }
        Told::Directory(_) | Told::Link(_) | Told::Timer(_) | Told::Cancelled(_) => {
            live.then_some(told)
        }
    }
}
