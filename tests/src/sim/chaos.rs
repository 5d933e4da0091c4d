//! The faults of a run, drawn from its seed.

use super::node::Node;
use super::pipe::Pipe;
use super::stranger;
use super::world::{Event, World};
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A pipe breaks, most often within a packet.
    Cut,
    /// Garbage is injected into a pipe, which then breaks.
    Garbage,
    /// A peer falls silent: its bytes vanish.
    Silence,
    /// One side of a pipe is notified that it broke; the other side receives nothing more.
    HalfCut,
    /// A clock jumps.
    Jump,
    /// A plugin will panic or misuse its host.
    Panic,
    /// A plugin is stopped, and restarted later.
    Leave,
    /// A stranger connects.
    Stranger,
    /// A stranger presents a ticket that it was not given.
    FalseTicket,
    /// A direct connection breaks, or falls silent.
    Direct,
    /// The pipe of a host breaks.
    CutHost,
    /// A host is killed.
    KillHost,
    /// A host stops in order.
    StopHost,
}

impl World {
    /// Chooses the faults of this run. Few runs have garbage, because it makes wrong bytes legal.
    pub(super) fn choose_faults(&mut self) {
        let random = &mut self.shared.random;
        let all = [Fault::Cut, Fault::Silence, Fault::Jump, Fault::Panic, Fault::Leave];
        self.faults = all.into_iter().filter(|_| random.chance(600)).collect();
        if self.nodes.iter().any(Node::is_host) {
            let of_hosts = [Fault::CutHost, Fault::KillHost, Fault::StopHost];
            self.faults.extend(of_hosts.into_iter().filter(|_| random.chance(500)));
        }
        let of_direct = [Fault::FalseTicket, Fault::Direct];
        self.faults.extend(of_direct.into_iter().filter(|_| random.chance(500)));
        if random.chance(300) {
            self.faults.push(Fault::HalfCut);
        }
        if random.chance(300) {
            self.faults.push(Fault::Stranger);
        }
        if random.chance(200) {
            self.faults.push(Fault::Garbage);
        }
    }

    /// Makes one fault happen.
    pub(super) fn fault(&mut self) {
        if self.faults.is_empty() {
            return;
        }
        let fault = self.shared.random.pick(&self.faults);
        let node = self.shared.random.below(self.nodes.len() as u64) as usize;
        self.shared.note(node, format_args!("fault: {fault:?}"));
        match fault {
            Fault::Cut => self.cut(|_| true, &[]),
            Fault::CutHost => self.cut(|pipe| pipe.host.is_some(), &[]),
            Fault::Garbage => {
                let garbage = stranger::noise(&mut self.shared.random);
                self.cut(|_| true, &garbage);
            }
            Fault::Silence => self.silence(|_| true),
            Fault::HalfCut => self.half_cut(|_| true),
            Fault::Jump => self.jump(),
            Fault::Panic => self.schedule_panic(node),
            Fault::Leave => self.leave(node),
            Fault::FalseTicket => self.false_ticket(),
            Fault::Direct => self.break_direct(),
            Fault::Stranger => self.stranger(node % self.servers()),
            Fault::KillHost => self.kill_a_host(),
            Fault::StopHost => self.stop_a_host(),
        }
    }

    fn live_pipe(&mut self, which: impl Fn(&Pipe) -> bool) -> Option<usize> {
        let live = |n: &usize| {
            let pipe = &self.pipes[*n];
            pipe.ends.iter().all(Option::is_some) && which(pipe)
        };
        let live: Vec<usize> = (0..self.pipes.len()).filter(live).collect();
        (!live.is_empty()).then(|| self.shared.random.pick(&live))
    }

    /// Breaks a pipe. Each side still reads a part of the bytes in flight, and then the garbage.
    pub(super) fn cut(&mut self, which: impl Fn(&Pipe) -> bool, garbage: &[u8]) {
        let Some(number) = self.live_pipe(which) else { return };
        let (secured, host) = (self.pipes[number].secured, self.pipes[number].host.is_some());
        self.shared.trace.saw(match (garbage.is_empty(), secured) {
            (true, _) if host => "a host cut",
            (true, _) if self.pipes[number].direct => "a direct connection cut",
            (false, _) if self.pipes[number].direct => "garbage on a direct connection",
            (false, true) if host => "garbage on a host's secured link",
            (true, _) => "a cut",
            (false, true) => "garbage on a secured link",
            (false, false) => "garbage",
        });
        let pipe = &mut self.pipes[number];
        pipe.tainted |= !garbage.is_empty();
        // An encrypted link yields only bytes that the peer has encrypted.
        self.shared.garbled |= !garbage.is_empty();
        self.shared.strangers |= !garbage.is_empty();
        self.shared.ledger.tainted |= !garbage.is_empty() && !secured;
        for way in &mut pipe.ways {
            let queued = way.queued();
            let keep = self.shared.random.below(queued as u64 + 1) as usize;
            if keep > 0 && keep < queued {
                self.shared.trace.saw("a cut with bytes in flight");
            }
            way.cut(keep);
            if !garbage.is_empty() {
                way.inject(garbage);
            }
        }
    }

    pub(super) fn break_direct(&mut self) {
        let direct = |pipe: &Pipe| pipe.direct;
        match self.shared.random.below(4) {
            3 if self.faults.contains(&Fault::Garbage) => {
                let garbage = stranger::noise(&mut self.shared.random);
                self.cut(direct, &garbage);
            }
            0 => self.cut(direct, &[]),
            1 => self.silence(direct),
            _ => self.half_cut(direct),
        }
    }

    fn silence(&mut self, which: impl Fn(&Pipe) -> bool) {
        let Some(number) = self.live_pipe(which) else { return };
        let (host, direct) = (self.pipes[number].host.is_some(), self.pipes[number].direct);
        self.shared.trace.saw(match (host, direct) {
            (true, _) => "a silent host",
            (_, true) => "a silent direct connection",
            _ => "a silent peer",
        });
        let both = self.shared.random.chance(500);
        self.pipes[number].ways[0].silent = true;
        self.pipes[number].ways[1].silent |= both;
        self.pipes[number].tainted = true;
    }

    fn half_cut(&mut self, which: impl Fn(&Pipe) -> bool) {
        let Some(number) = self.live_pipe(which) else { return };
        self.shared.trace.saw("half a cut");
        let side = self.shared.random.below(2) as usize;
        let pipe = &mut self.pipes[number];
        pipe.tainted = true;
        pipe.ways[side].silent = true;
        pipe.ways[1 - side].cut(0);
    }

    fn jump(&mut self) {
        self.shared.trace.saw("a clock jump");
        self.shared.clock_jumped = true;
        let seconds = self.shared.random.size(5, 4_000);
        self.shared.now += Duration::from_secs(seconds);
    }

    fn schedule_panic(&mut self, node: usize) {
        let plugins: Vec<_> = self.nodes[node].actors.keys().copied().collect();
        if plugins.is_empty() {
            return;
        }
        let plugin = self.shared.random.pick(&plugins);
        if let Some(actor) = self.nodes[node].actors.get_mut(&plugin) {
            actor.schedule_panic(&mut self.shared.random);
        }
        self.plan_restart(node);
    }

    pub(super) fn leave(&mut self, node: usize) {
        let plugins: Vec<_> = self.nodes[node].actors.keys().copied().collect();
        if plugins.is_empty() {
            return;
        }
        let plugin = self.shared.random.pick(&plugins);
        self.shared.trace.saw("a plugin stopped");
        self.nodes[node].stop_plugin(&mut self.shared, plugin);
        self.plan_restart(node);
    }

    fn plan_restart(&mut self, node: usize) {
        let after = Duration::from_micros(self.shared.random.size(1, 10_000_000));
        self.plan(after, Event::Return { node });
    }

    /// A stranger connects, which follows the protocol for a while, or not at all.
    fn stranger(&mut self, node: usize) {
        self.shared.trace.saw("a stranger");
        let secured = self.shared.secured;
        let number = self.new_pipe(secured);
        let target = self.shared.keys[node];
        let bytes = stranger::bytes(&mut self.shared.random, secured.then_some(target));
        self.connect_stranger(node, number, &bytes);
    }

    /// Connects a stranger that sends these bytes and never reads.
    pub(super) fn connect_stranger(&mut self, node: usize, number: usize, bytes: &[u8]) {
        self.shared.strangers = true;
        let pipe = &mut self.pipes[number];
        pipe.tainted = true;
        pipe.ways[0].inject(bytes);
        pipe.ways[1].silent = true;
        if self.shared.random.chance(700) {
            pipe.ways[0].end();
        }
        self.nodes[node].backlog.push(number);
    }

    /// Links strangers to a server, if possible one with hosts. They announce more plugins than any
    /// queue holds.
    pub(super) fn crowd(&mut self) {
        let hosts = self.nodes.iter().filter(|node| node.is_host());
        let home = hosts.map(|host| self.shared.info[host.number].home).next().unwrap_or(0);
        self.shared.trace.saw("a crowd of plugins");
        self.shared.strangers = true;
        for key in 0..stranger::CROWD {
            let number = self.new_pipe(false);
            let pipe = &mut self.pipes[number];
            pipe.tainted = true;
            pipe.ways[0].inject(&stranger::crowd(key));
            pipe.ways[1].silent = true;
            self.nodes[home].backlog.push(number);
        }
    }

    /// Ends the chaos phase. Silent pipes break, so that their links are dialled again.
    pub(super) fn calm(&mut self) {
        self.shared.calm = true;
        self.calm_hosts();
        for pipe in &mut self.pipes {
            let stranger = pipe.ends[0].is_none();
            if pipe.ways.iter().any(|way| way.silent) || stranger {
                pipe.ways.iter_mut().for_each(|way| way.cut(0));
            }
        }
    }
}
