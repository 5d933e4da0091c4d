//! Hello: who a peer says that it is, and whether it may stay.

use crate::broker::neighbours::Neighbours;
use crate::broker::neighbours::connections::{Conn, ConnPhase, PeerInfo};
use crate::broker::{Broker, ConnId, Grants, Opened, PeerProcess};
use crate::control::{Hello, PROTOCOL, Role};
use crate::key::Key;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::{String, ToString};

impl Neighbours {
    /// Whether a peer that says this hello may stay.
    fn judge(&self, id: ConnId, hello: &Hello) -> Result<(), Reason> {
        let Some(conn) = self.conn(id) else { return Ok(()) };
        let refuse = |code, text: String| Err(Reason::server(code, text));
        if hello.protocol != PROTOCOL {
            let text = format!("we speak version {PROTOCOL}, you speak {}", hello.protocol);
            return refuse(Code::ProtocolVersion, text);
        }
        if hello.name.len() > crate::name::NAME_MAX {
            return refuse(Code::ProtocolViolation, "a server's name is over 64 bytes".to_string());
        }
        if conn.proved.is_some_and(|proved| proved != hello.key) {
            let text = "hello names another key than the one that was proved";
            return refuse(Code::ProtocolViolation, text.to_string());
        }
        self.judge_process(conn, hello.role)?;
        match (hello.role, conn.grants) {
            (Role::Host, _) if hello.key == self.own_key => {
                let text = "this host has the key of its server; give it one of its own";
                refuse(Code::SelfLink, text.to_string())
            }
            (Role::Server, _) if self.is_host && conn.how == Opened::Accepted => {
                let text = "a host links with its own server only, which it dials";
                refuse(Code::NotAllowed, text.to_string())
            }
            (Role::Server, _) if hello.key == self.own_key => {
                refuse(Code::SelfLink, "this is the same server".to_string())
            }
            (Role::Server, Grants::Everything | Grants::Server) => self.judge_key(conn, hello.key),
            (Role::Server, Grants::Host) => {
                let text = "this key is listed as a host, and may not link as a server";
                refuse(Code::NotAllowed, text.to_string())
            }
            (Role::Command, Grants::Everything) => Ok(()),
            (Role::Command, _) => {
                refuse(Code::NotAllowed, "commands are taken over unix sockets only".to_string())
            }
            (Role::Host, Grants::Server) => {
                let text = "this key is not listed as a host, and may not register plugins";
                refuse(Code::NotAllowed, text.to_string())
            }
            (Role::Host, _) if self.is_host => {
                refuse(Code::NotAllowed, "a host takes no hosts".to_string())
            }
            (Role::Host, Grants::Everything | Grants::Host) => Ok(()),
        }
    }

    /// The process of a host that this server started has one link, as that host. It and what it
    /// starts may be nothing else here: neither a server, nor another host, nor the command line.
    fn judge_process(&self, conn: &Conn, role: Role) -> Result<(), Reason> {
        let text = match (conn.how, conn.process) {
            (Opened::Child(_), _) if role != Role::Host => {
                "this connection is for the host that was started with it".into()
            }
            (Opened::Accepted, PeerProcess::OfChild(child)) => {
                let child = self.children.get(&child).map(|child| child.config.name.as_str());
                let name = child.unwrap_or_default();
                format!("the process that dials belongs to the host of {name}, and has its link")
            }
            (Opened::Accepted, PeerProcess::Ended) if self.has_processes() => {
                "the process that dialled has ended, and may have belonged to a host".into()
            }
            _ => return Ok(()),
        };
        Err(Reason::server(Code::NotAllowed, text))
    }

    fn judge_key(&self, conn: &Conn, key: Key) -> Result<(), Reason> {
        let Opened::Dialled(peer) = conn.how else { return Ok(()) };
        match self.peers.get(&peer).and_then(|peer| peer.config.key) {
            Some(expected) if expected != key => {
                let text = format!("expected the server {expected}, found {key}");
                Err(Reason::server(Code::NotAllowed, text))
            }
            _ => Ok(()),
        }
    }
}

impl Broker {
    pub(crate) fn hello(&mut self, id: ConnId, hello: Hello) {
        let judged = self.neighbours.judge(id, &hello).and_then(|()| match hello.role {
            Role::Server | Role::Host => self.take_place(id, hello.key),
            Role::Command => Ok(()),
        });
        if let Err(reason) = judged {
            self.goodbye(id, reason);
            return;
        }
        let Hello { key, name, role, machine, plugins, .. } = hello;
        let name = match role {
            Role::Server => self.neighbours.name_of(key, name),
            Role::Host | Role::Command => name,
        };
        let Some(conn) = self.neighbours.conn_mut(id) else { return };
        conn.phase = ConnPhase::Up;
        conn.hello = Some(PeerInfo { key, name: name.clone(), role, machine });
        self.switch.ping(id);
        if role == Role::Server && !self.is_host() {
            self.switch.mark_foreign(id);
        }
        self.arm(id);
        match role {
            Role::Server if self.is_host() => self.uplink_linked(id, key, name, plugins),
            Role::Server => {
                self.server_linked(id, key, plugins);
                self.update_link_need(id);
            }
            Role::Host => self.host_linked(id, key, plugins),
            Role::Command => self.registry.ignore(id),
        }
    }
}
