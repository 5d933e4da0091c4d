//! The user of a confined process, and its privileges.

use nix::unistd::{self, User};
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use std::ffi::CString;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Capabilities have numbers below this one.
const CAPABILITIES: u32 = 64;

/// The mode bit with which other users may pass through a folder.
const OTHERS_PASS: u32 = 0o001;

/// Folders above a data folder that belong to the server: `data`, and `state`.
const OF_STATE: usize = 2;

/// A user of this machine.
#[derive(Clone, Debug)]
pub(super) struct Account {
    name: String,
    user: User,
    /// The user of the server.
    server: Uid,
}

impl Account {
    pub(super) fn look_up(name: &str) -> Result<Account, String> {
        let found = User::from_name(name)
            .map_err(|error| format!("`user` = {name} cannot be looked up: {error}"))?;
        let user = found.ok_or_else(|| {
            format!("`user` = {name}: there is no such user; create it, or name another one")
        })?;
        if user.uid.is_root() {
            return Err(format!("`user` = {name}: root is not confined; name another user"));
        }
        Ok(Account { name: name.into(), user, server: geteuid() })
    }

    /// Gives the user a data folder, and a way to it through the state folder. The folders above
    /// that belong to others, so they are as they are.
    pub(super) fn own(&self, data: &Path) -> Result<(), String> {
        let (uid, gid) = (self.user.uid.as_raw(), self.user.gid.as_raw());
        if !self.server.is_root() {
            return Ok(());
        }
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        chown(data, Some(uid), Some(gid)).map_err(|error| failed(data, error))?;
        for folder in data.ancestors().skip(1).take(OF_STATE) {
            let mode = folder.metadata().map_err(|error| failed(folder, error))?.mode();
            let mode = Permissions::from_mode(mode & 0o7777 | OTHERS_PASS);
            std::fs::set_permissions(folder, mode).map_err(|error| failed(folder, error))?;
        }
        let closed = data.ancestors().skip(1).find(|folder| !self.may_pass(folder));
        closed.map_or(Ok(()), |folder| {
            let (name, folder) = (&self.name, folder.display());
            Err(format!(
                "`user` = {name} may not pass through {folder} to its data folder; use `chmod o+x \
                 {folder}`, or name another `state` folder"
            ))
        })
    }

    fn may_pass(&self, folder: &Path) -> bool {
        let Ok(metadata) = folder.metadata() else { return false };
        let bit = match (metadata.uid(), metadata.gid()) {
            (uid, _) if uid == self.user.uid.as_raw() => 0o100,
            (_, gid) if gid == self.user.gid.as_raw() => 0o010,
            _ => OTHERS_PASS,
        };
        metadata.mode() & bit != 0
    }

    /// Makes this process one of the user, with the user's groups.
    pub(super) fn become_it(&self) -> Result<String, String> {
        let User { uid, gid, .. } = self.user;
        let means = format!("uid {uid}, gid {gid}");
        if self.server == Uid::from_raw(uid.as_raw()) {
            return Ok(format!("{means}, as the server itself"));
        }
        let failed = |error: nix::Error| match error {
            nix::Error::EPERM => "only a server with root's rights can change it".to_owned(),
            error => format!("it cannot be changed: {error}"),
        };
        let name = CString::new(self.name.as_str()).map_err(|error| error.to_string())?;
        unistd::initgroups(&name, gid).map_err(failed)?;
        unistd::setresgid(gid, gid, gid).map_err(failed)?;
        unistd::setresuid(uid, uid, uid).map_err(failed)?;
        Ok(means)
    }

    /// Whether it is another user than the server's.
    pub(super) fn differs(&self) -> bool {
        self.server != Uid::from_raw(self.user.uid.as_raw())
    }

    /// Whether this process runs as the user, and the server does not.
    pub(super) fn is_in_force(&self) -> bool {
        let user = Uid::from_raw(self.user.uid.as_raw());
        self.server != user && geteuid() == user
    }
}

/// Gives up the way to capabilities: those of programs that it may start. Another user than root
/// has no right to do this, and gains none by such programs with `no_new_privs`.
pub(super) fn close_way_to_capabilities() -> Result<(), String> {
    for number in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(capability) {
            // The kernel has no more, or this user had none that it could give up.
            Err(Errno::INVAL | Errno::PERM) => break,
            removed => removed.map_err(|error| format!("capability {number}: {error}"))?,
        }
    }
    Ok(())
}

/// Gives up all capabilities and the chance to gain any.
pub(super) fn drop_privileges() -> Result<String, String> {
    set_no_new_privs(true).map_err(|error| format!("no_new_privs: {error}"))?;
    let failed = |error: Errno| format!("capabilities cannot be given up: {error}");
    clear_ambient_capability_set().map_err(failed)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(failed)?;
    Ok("no_new_privs, no capabilities".into())
}
