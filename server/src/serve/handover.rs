//! How a server hands a spec to the process of a host: as a file in memory, whose descriptor comes
//! first on the connection. However long the spec is, the server never waits for the process.

use super::spec::Spec;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Longest spec, in bytes. It is larger than any configuration file.
const SPEC_MAX: u64 = 16 << 20;

/// Room for the message's descriptors.
const CONTROL: usize = rustix::cmsg_space!(ScmRights(2));

/// What a process receives from the server that started it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) spec: Spec,
    /// The number of the server's process.
    pub(super) server: u32,
    /// Where a confined process tells what is in force.
    pub(super) report: Option<OwnedFd>,
}

/// Sends a spec with the number of this process; to a process that is to be confined, also the pipe
/// for its report.
pub(super) fn send(
    connection: &UnixStream,
    spec: &Spec,
    report: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let text = spec.to_json().map_err(io::Error::other)?;
    if text.len() as u64 > SPEC_MAX {
        return Err(io::Error::other("its configuration is too long"));
    }
    let mut file = File::from(memfd_create("spec", MemfdFlags::CLOEXEC)?);
    file.write_all(&text)?;
    file.rewind()?;
    let files: Vec<BorrowedFd<'_>> = [file.as_fd()].into_iter().chain(report).collect();
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    let number = std::process::id().to_be_bytes();
    // The connection is new, so it has room.
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(connection, &[IoSlice::new(&number)], &mut control, flags)? {
        4 => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Receives what a server has sent.
pub(super) fn receive(connection: &UnixStream) -> io::Result<Received> {
    let mut number = [0; 4];
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut number)];
    let received = recvmsg(connection, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let files = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => Some((files.next()?, files.next())),
        _ => None,
    });
    let Some((file, report)) = files.filter(|_| received.bytes == number.len()) else {
        return Err(io::Error::other("no configuration came"));
    };
    Ok(Received { spec: read(file)?, server: u32::from_be_bytes(number), report })
}

fn read(file: OwnedFd) -> io::Result<Spec> {
    let mut text = Vec::new();
    File::from(file).take(SPEC_MAX).read_to_end(&mut text)?;
    Spec::from_json(&text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::super::spec;
    use super::*;
    use crate::config::PluginConfig;
    use std::path::Path;
    use trunkline_core::limits::Limits;

    fn spec_of(length: usize) -> Spec {
        let config_json = format!("\"{}\"", "x".repeat(length));
        let plugin = PluginConfig { config_json, ..spec::tests::plugin() };
        let (file, state) = (Path::new("/x/a.toml"), Path::new("/x/a.state"));
        Spec::of(plugin, &"alpha".parse().unwrap(), file, state, &Limits::default())
    }

    #[test]
    fn a_spec_of_any_length_is_sent_without_waiting_for_its_reader() {
        for length in [0, 10 << 20] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            send(&ours, &spec_of(length), None).unwrap();
            (&ours).write_all(b"next").unwrap();
            let Received { spec, server, report } = receive(&theirs).unwrap();
            assert!(spec == spec_of(length), "{length} bytes differ");
            assert_eq!(server, std::process::id());
            assert!(report.is_none(), "none was sent");
            let mut next = [0; 4];
            (&theirs).read_exact(&mut next).unwrap();
            assert_eq!(&next, b"next", "what follows is left in its place");
        }
    }

    #[test]
    fn a_process_that_is_to_be_confined_receives_a_pipe_for_its_report() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(&ours, &spec_of(1), Some(writer.as_fd())).unwrap();
        drop(writer);
        let report = receive(&theirs).unwrap().report.expect("the pipe");
        File::from(report).write_all(b"told").unwrap();
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        assert_eq!(told, "told");
    }

    #[test]
    fn what_no_server_sent_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"GET / HTTP/1.1").unwrap();
        assert_eq!(receive(&theirs).unwrap_err().to_string(), "no configuration came");
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert_eq!(receive(&theirs).unwrap_err().to_string(), "no configuration came");
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = send(&ours, &spec_of(SPEC_MAX as usize), None).unwrap_err();
        assert_eq!(error.to_string(), "its configuration is too long");
    }
}
