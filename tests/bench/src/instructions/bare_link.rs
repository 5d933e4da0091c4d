//! Two servers as bare brokers, and a channel between their plugins; no socket, no clock.

use std::hint::black_box;

use trunkline_core::broker::{ConnId, Handle, Opened};
use trunkline_core::control::Role;
use trunkline_tests::processes::{PipeEnd, Processes};

/// Both brokers, and the channel.
pub(super) struct Link {
    processes: Processes,
    channel: Handle,
    ends: [ConnId; 2],
}

impl Link {
    pub(super) fn open() -> Link {
        let mut processes = Processes::default();
        let from = processes.add(Role::Server, 1, "from");
        let to = processes.add(Role::Server, 1, "to");
        let end = |process, how| PipeEnd { process, how, sees: None };
        let peer = processes.add_peer(from);
        let ends =
            processes.connect(end(from, Opened::Dialled(peer)), end(to, Opened::Accepted), None);
        processes.run();
        let channel = processes.all[from].open("to");
        processes.run();
        Link { processes, channel, ends }
    }

    pub(super) fn carry(mut self, times: u64) {
        for _ in 0..times {
            let bytes = write_path(&mut self.processes, self.channel, self.ends[0]);
            read_path(&mut self.processes, self.ends[1], bytes);
            self.processes.all[1].bytes.clear();
            // The credit that comes back.
            self.processes.run();
        }
    }
}

/// The cost of a plugin's write until its bytes are passed to the socket.
#[inline(never)]
fn write_path(processes: &mut Processes, channel: Handle, link: ConnId) -> Vec<u8> {
    let from = &mut processes.all[0];
    let _ = black_box(from.broker.write(from.plugin, channel, &[7; 64]));
    from.send(link)
}

/// The cost of bytes from the socket until the plugin has received them.
#[inline(never)]
fn read_path(processes: &mut Processes, link: ConnId, bytes: Vec<u8>) {
    processes.all[1].receive(link, bytes);
}
