//! Hello: who a peer says that it is, and whether it may stay.

use super::Neighbours;
use super::connections::{Conn, ConnPhase, PeerInfo};
use crate::broker::{ConnId, Grants, Opened, PeerProcess};
use crate::control::{Hello, PROTOCOL, Role};
use crate::key::Key;
use crate::name::NAME_MAX;
use crate::printable::is_unsafe;
use crate::reason::{Code, Reason};
use alloc::format;
use alloc::string::{String, ToString};

impl Neighbours {
    /// A peer said hello: it is up, unless it may not stay.
    pub(crate) fn greet(&mut self, id: ConnId, hello: &Hello) -> Result<(), Reason> {
        self.judge(id, hello)?;
        let Hello { key, role, machine, .. } = *hello;
        let name = match role {
            Role::Server => self.name_of(key, hello.name.clone()),
            Role::Host | Role::Command => hello.name.clone(),
        };
        if role != Role::Command {
            self.take_place(id, key)?;
        }
        if let Some(conn) = self.conn_mut(id) {
            conn.phase = ConnPhase::Up;
            conn.hello = Some(PeerInfo { key, name, role, machine });
        }
        Ok(())
    }

    /// Whether a peer that says this hello may stay.
    fn judge(&self, id: ConnId, hello: &Hello) -> Result<(), Reason> {
        let Some(conn) = self.conn(id) else { return Ok(()) };
        let refuse = |code, text: String| Err(Reason::server(code, text));
        if hello.protocol != PROTOCOL {
            let text = format!("we speak version {PROTOCOL}, you speak {}", hello.protocol);
            return refuse(Code::ProtocolVersion, text);
        }
        if let Some(wrong) = wrong_name(&hello.name) {
            return refuse(Code::ProtocolViolation, wrong.to_string());
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

    /// The process of a host that this server started has one link, as that host. It and its
    /// descendants may be nothing else here: neither a server, nor another host, nor the command
    /// line.
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
            (Opened::Accepted, PeerProcess::Descendant) => {
                "the process that dials was started by a server's plugin, and may be no peer of it"
                    .into()
            }
            (Opened::Accepted, PeerProcess::Untraced) => {
                "the ancestors of the process that dials cannot be found, and one may be a host"
                    .into()
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

/// What is wrong with the name of a server or host.
fn wrong_name(name: &str) -> Option<&'static str> {
    if name.len() > NAME_MAX {
        return Some("a server's name is over 64 bytes");
    }
    name.contains(is_unsafe).then_some("a server's name holds a control character")
}
