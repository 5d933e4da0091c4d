//! Boolean facts of an end, packed.

/// A fact of an end, by its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Flag {
    /// The owner no longer writes.
    WriteOver = 1 << 0,
    /// The owner was notified that what it writes is no longer read.
    Stopped = 1 << 1,
    /// No more bytes are delivered to the owner.
    ReadOver = 1 << 2,
    /// The other end no longer writes; the owner is notified as soon as the inbox is empty.
    Closing = 1 << 3,
    /// The owner's last write was cut short: notify it when there is room.
    WantsRoom = 1 << 4,
    /// Half of the window was used up in one round trip: it may grow.
    ShortWindow = 1 << 5,
    /// A plugin gives credit itself.
    Manual = 1 << 6,
    /// The last event of this end is on its way to its plugin.
    Ending = 1 << 7,
    /// The plugin has given this end up, and receives only its last event.
    Muted = 1 << 8,
    /// A delivery of the inbox is on its way to the plugin.
    Delivering = 1 << 9,
    /// StopRead is sent on this stream as soon as the peer has answered, because without our
    /// reading it could not answer.
    StopWhenAnswered = 1 << 10,
    /// It carries calls: events that its plugin would receive go to the broker.
    Calls = 1 << 11,
    /// A stream that we opened with `stays`: an invitation is not a valid answer.
    Stays = 1 << 12,
    /// A ticket is remembered as long as this end exists.
    Ticketed = 1 << 13,
    /// The routes of the channel are being tried; what the plugin writes meanwhile is kept.
    Seeking = 1 << 14,
}

/// Which flags are set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    #[inline]
    pub(crate) fn has(self, flag: Flag) -> bool {
        self.0 & flag as u16 != 0
    }

    /// Sets a flag; returns whether it was clear.
    pub(crate) fn set(&mut self, flag: Flag) -> bool {
        let news = !self.has(flag);
        self.0 |= flag as u16;
        news
    }

    /// Clears a flag; returns whether it was set.
    pub(crate) fn clear(&mut self, flag: Flag) -> bool {
        let was = self.has(flag);
        self.0 &= !(flag as u16);
        was
    }

    /// Sets a flag if the condition holds, and clears it otherwise.
    pub(crate) fn note(&mut self, flag: Flag, holds: bool) {
        match holds {
            true => self.set(flag),
            false => self.clear(flag),
        };
    }
}

impl core::fmt::Debug for Flags {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use Flag::*;
        let all = [
            WriteOver,
            Stopped,
            ReadOver,
            Closing,
            WantsRoom,
            ShortWindow,
            Manual,
            Ending,
            Muted,
            Delivering,
            StopWhenAnswered,
            Calls,
            Stays,
            Ticketed,
            Seeking,
        ];
        f.debug_set().entries(all.iter().filter(|flag| self.has(**flag))).finish()
    }
}
