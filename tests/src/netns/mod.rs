//! Machines, LANs and routers of a test's own, made of network namespaces. The network of the
//! system itself is not touched. It needs root, `ip` and `nft`, and runs nothing by itself.

// A test whose network cannot be made must fail.
#![allow(clippy::expect_used)]

mod lan;
mod machine;
mod router;
mod tool;

pub use lan::Lan;
pub use machine::Machine;
pub use router::{Nat, NatLan};

use crate::skip;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tool::{ip, ip_output, is_installed};

/// The beginning of the names of all namespaces of tests; the process that made them follows.
const PREFIX: &str = "trunkline-";

/// A network that is removed when it is dropped, with all programs that run in it.
#[derive(Debug)]
pub struct Net {
    /// The beginning of the names of its namespaces.
    name: String,
    /// The namespaces that were made, or begun to be made.
    namespaces: Vec<String>,
    /// The bridges in the namespace of switches.
    lans: lan::Lans,
    /// Those of its machines.
    mounts: Vec<machine::Mounts>,
}

impl Net {
    /// Whether a network can be made here, or the reason why not, in one line. It is determined
    /// once, by making one.
    ///
    /// # Errors
    ///
    /// When this is not root, a tool is missing, or the kernel refuses something.
    pub fn available() -> Result<(), String> {
        static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
        FOUND.get_or_init(try_all).clone()
    }

    /// A new network; or `None` with a line on stderr, where none can be made. `what` is what is
    /// not tested then.
    #[must_use]
    pub fn or_skip(what: &str) -> Option<Net> {
        match Net::available() {
            Ok(()) => Some(Net::new()),
            Err(why) => {
                skip::aloud(what, &why);
                None
            }
        }
    }

    /// A new empty network. Leftovers of killed tests are removed first.
    ///
    /// # Panics
    ///
    /// When it cannot be made: see [`Net::available`].
    #[must_use]
    pub fn new() -> Net {
        Net::make().expect("a network of the test's own")
    }

    /// The beginning of the names of its namespaces.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn make() -> Result<Net, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        remove_what_the_dead_left()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let (namespaces, lans, mounts) = Default::default();
        let mut net = Net { name, namespaces, lans, mounts };
        net.namespace(lan::SWITCHES)?;
        Ok(net)
    }

    /// Makes a namespace for a machine; returns its whole name.
    fn namespace(&mut self, machine: &str) -> Result<String, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        assert!(machine.chars().all(plain), "{machine:?} is no name for a machine");
        let namespace = format!("{}-{machine}", self.name);
        assert!(!self.namespaces.contains(&namespace), "there is a {machine} already");
        self.namespaces.push(namespace.clone());
        ip(&format!("netns add {namespace}"))?;
        ip(&format!("-n {namespace} link set lo up"))?;
        Ok(namespace)
    }
}

impl Default for Net {
    fn default() -> Net {
        Net::new()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            if let Err(why) = remove(namespace) {
                // The message of a test that panics already must stay visible.
                let _ = writeln!(std::io::stderr(), "a namespace is left: {why}");
            }
        }
    }
}

/// Makes one of everything.
fn try_all() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("network namespaces need root".into());
    }
    is_installed("ip")?;
    is_installed("nft")?;
    is_installed("nsenter")?;
    let mut net = Net::make()?;
    let wan = net.try_lan()?;
    for (name, nat) in [("cone", Nat::Cone), ("symmetric", Nat::Symmetric)] {
        let home = net.try_nat_lan(name, wan, nat)?;
        let machine = net.try_machine(&format!("{name}-machine"), home.lan)?;
        tool::run(machine.command("ip").arg("-V"), "")?;
    }
    Ok(())
}

/// Removes a namespace and ends what runs in it.
fn remove(namespace: &str) -> Result<(), String> {
    tool::end_programs(namespace);
    ip(&format!("netns delete {namespace}"))
}

/// Removes the namespaces of processes that no longer exist, such as killed tests.
fn remove_what_the_dead_left() -> Result<(), String> {
    let list = ip_output("netns list")?;
    for namespace in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let maker = namespace.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let dead = |maker: &str| !Path::new("/proc").join(maker).exists();
        if maker.is_some_and(|maker| maker.parse::<u32>().is_ok() && dead(maker)) {
            // Another test may be about to remove it.
            let _ = remove(namespace);
        }
    }
    Ok(())
}
