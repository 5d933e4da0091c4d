//! LANs: bridges in a namespace of switches, and the cables that lead to them.

use super::machine::Mounts;
use super::tool::ip;
use super::{Machine, Net};
use std::net::Ipv4Addr;

/// The machine whose bridges are the LANs.
pub(super) const SWITCHES: &str = "switches";

/// A LAN of one [`Net`], with room for 254 machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lan {
    /// Its addresses are `10.number.0.0/24`.
    number: u8,
    /// The address of the router.
    pub(super) router: Option<Ipv4Addr>,
}

/// For each LAN, how many addresses were assigned.
#[derive(Debug, Default)]
pub(super) struct Lans(Vec<u8>);

/// A machine's connection to a LAN.
#[derive(Clone, Debug)]
pub(super) struct Cable {
    /// The namespace of switches.
    switches: String,
    /// The interface there.
    port: String,
    /// The address at the other end.
    pub(super) address: Ipv4Addr,
}

impl Net {
    /// A new LAN, without a router.
    ///
    /// # Panics
    ///
    /// When there are 254 already, or the kernel refuses it.
    pub fn lan(&mut self) -> Lan {
        self.try_lan().expect("a LAN")
    }

    pub(super) fn try_lan(&mut self) -> Result<Lan, String> {
        self.lans.0.push(0);
        let number = u8::try_from(self.lans.0.len()).map_err(|_| "too many LANs")?;
        let switches = self.switches();
        // Without snooping, a multicast packet goes to all, as through a cheap switch.
        ip(&format!("-n {switches} link add lan{number} type bridge mcast_snooping 0"))?;
        ip(&format!("-n {switches} link set lan{number} up"))?;
        Ok(Lan { number, router: None })
    }

    /// Plugs a namespace into a LAN with a new interface of this name.
    pub(super) fn plug(&mut self, namespace: &str, name: &str, lan: Lan) -> Result<Cable, String> {
        let Lan { number, .. } = lan;
        let hosts = self.lans.0.get_mut(usize::from(number) - 1).ok_or("a LAN of another net")?;
        *hosts = hosts.checked_add(1).filter(|host| *host < 255).ok_or("the LAN is full")?;
        let (host, port) = (*hosts, format!("lan{number}-{hosts}"));
        let (switches, address) = (self.switches(), Ipv4Addr::new(10, number, 0, host));
        let cable = format!("link add {port} type veth peer name {name} netns {namespace}");
        ip(&format!("-n {switches} {cable}"))?;
        ip(&format!("-n {switches} link set {port} master lan{number} up"))?;
        ip(&format!("-n {namespace} address add {address}/24 broadcast + dev {name}"))?;
        ip(&format!("-n {namespace} link set {name} up"))?;
        Ok(Cable { switches, port, address })
    }

    /// A new machine on a LAN.
    ///
    /// # Panics
    ///
    /// When there is one of this name, or the kernel refuses it.
    pub fn machine(&mut self, name: &str, lan: Lan) -> Machine {
        self.try_machine(name, lan).expect("a machine")
    }

    pub(super) fn try_machine(&mut self, name: &str, lan: Lan) -> Result<Machine, String> {
        let namespace = self.namespace(name)?;
        let cable = self.plug(&namespace, "eth0", lan)?;
        if let Some(router) = lan.router {
            ip(&format!("-n {namespace} route add default via {router}"))?;
        }
        let mounts = Mounts::hold(&namespace).map_err(|error| error.to_string())?;
        let holder = mounts.holder();
        self.mounts.push(mounts);
        Ok(Machine { holder, cable })
    }

    fn switches(&self) -> String {
        format!("{}-{SWITCHES}", self.name)
    }
}

impl Cable {
    /// Unplugs it from the switch, or plugs it in again.
    pub(super) fn set(&self, state: &str) -> Result<(), String> {
        ip(&format!("-n {} link set {} {state}", self.switches, self.port))
    }
}
