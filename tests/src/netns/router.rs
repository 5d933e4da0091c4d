//! Routers with NAT, by the kernel's own translation.

use super::tool::{ip, run};
use super::{Lan, Net};
use std::net::Ipv4Addr;
use std::process::Command;

/// How a router chooses the external port of a connection. With both kinds, unsolicited packets
/// from outside are dropped silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// The internal port, whatever the destination (cone NAT): hole punching works.
    Cone,
    /// A different port for each connection (symmetric NAT): the port cannot be predicted.
    Symmetric,
}

/// A LAN with a router to another LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatLan {
    /// The inner LAN.
    pub lan: Lan,
    /// The router's outer address, by which all machines inside are seen.
    pub public: Ipv4Addr,
}

impl Net {
    /// A new LAN behind a router of this name, which is a machine on the LAN `wan`.
    ///
    /// # Panics
    ///
    /// When there is a machine of this name, or the kernel refuses it.
    pub fn nat_lan(&mut self, router: &str, wan: Lan, nat: Nat) -> NatLan {
        self.try_nat_lan(router, wan, nat).expect("a LAN behind a router")
    }

    pub(super) fn try_nat_lan(
        &mut self,
        router: &str,
        wan: Lan,
        nat: Nat,
    ) -> Result<NatLan, String> {
        let namespace = self.namespace(router)?;
        let mut lan = self.try_lan()?;
        let public = self.plug(&namespace, "wan", wan)?.address;
        lan.router = Some(self.plug(&namespace, "lan", lan)?.address);
        if let Some(next) = wan.router {
            ip(&format!("-n {namespace} route add default via {next}"))?;
        }
        run(inside(&namespace).args(["nft", "-f", "-"]), &rules(nat))?;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run(inside(&namespace).args(["sh", "-c", forward]), "")?;
        Ok(NatLan { lan, public })
    }
}

fn inside(namespace: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]);
    command
}

/// The rules of a router whose interfaces are `lan` and `wan`. A dropped packet leaves no
/// connection state, so an early packet does not spoil a later attempt.
fn rules(nat: Nat) -> String {
    let port = match nat {
        Nat::Cone => "",
        Nat::Symmetric => "fully-random",
    };
    format!(
        "table ip router {{
            chain out {{
                type nat hook postrouting priority 100; policy accept;
                oifname \"wan\" masquerade {port}
            }}
            chain through {{
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                iifname \"lan\" accept
            }}
            chain here {{
                type filter hook input priority 0; policy accept;
                iifname \"wan\" drop
            }}
        }}\n"
    )
}
