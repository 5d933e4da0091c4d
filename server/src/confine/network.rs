//! A network of the process's own, in which there is only loopback.

use nix::sched::{CloneFlags, unshare};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, netlink::SocketAddrNetlink, recv, sendto,
    socket,
};
use rustix::process::{getegid, geteuid};
use std::io;

/// `RTM_NEWLINK` changes an interface.
const CHANGE_LINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ACKNOWLEDGED: u16 = 0x1 | 0x4;
/// `NLMSG_ERROR`, which is also an acknowledgement.
const ACKNOWLEDGEMENT: u16 = 2;
/// Loopback is the first interface of each network.
const LOOPBACK: i32 = 1;
/// `IFF_UP`.
const UP: u32 = 1;
/// Bytes of a netlink header, and of a header with `ifinfomsg` behind it.
const HEADER: usize = 16;
const MESSAGE: usize = 32;

/// Moves this process, which must have one thread, to a network of its own.
pub(super) fn leave() -> Result<String, String> {
    let means = match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => "a network namespace",
        Err(nix::Error::EPERM) => {
            as_user_of_own_namespace()?;
            "a network namespace in a user namespace"
        }
        Err(error) => return Err(format!("it can have no network namespace: {error}")),
    };
    raise_loopback().map_err(|error| format!("loopback cannot be brought up: {error}"))?;
    Ok(means.into())
}

/// A process without privileges may make a network only where it is root: in a user namespace. Its
/// user and group stay as they are there.
fn as_user_of_own_namespace() -> Result<(), String> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("user namespaces are not allowed here: {error}"))?;
    let write = |file: &str, text: &str| {
        let path = format!("/proc/self/{file}");
        std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))
    };
    write("setgroups", "deny")?;
    write("uid_map", &format!("{user} {user} 1"))?;
    write("gid_map", &format!("{group} {group} 1"))
}

fn raise_loopback() -> io::Result<()> {
    let netlink = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&netlink, &up(LOOPBACK), SendFlags::empty(), &kernel)?;
    let mut answer = [0; 256];
    let (length, _) = recv(&netlink, &mut answer[..], RecvFlags::empty())?;
    acknowledged(&answer[..length])
}

/// The message that brings an interface up: `nlmsghdr` and `ifinfomsg`, in native byte order.
fn up(interface: i32) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    let mut at = |place: usize, bytes: &[u8]| {
        message[place..place + bytes.len()].copy_from_slice(bytes);
    };
    at(0, &(MESSAGE as u32).to_ne_bytes());
    at(4, &CHANGE_LINK.to_ne_bytes());
    at(6, &ACKNOWLEDGED.to_ne_bytes());
    at(HEADER + 4, &interface.to_ne_bytes());
    at(HEADER + 8, &UP.to_ne_bytes());
    at(HEADER + 12, &UP.to_ne_bytes());
    message
}

fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let error = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
    match (kind, error.map(i32::from_ne_bytes)) {
        (Some(ACKNOWLEDGEMENT), Some(0)) => Ok(()),
        (Some(ACKNOWLEDGEMENT), Some(error)) => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::other("the kernel's answer cannot be read")),
    }
}
