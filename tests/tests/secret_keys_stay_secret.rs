//! A server's secret key is in its memory once, where no core dump shows it, and in none of its
//! processes.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use trunkline_core::key::Key;
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, Process, Server, Setup, Socket, key_of};

/// A peer that may link.
const LISTED: u8 = 9;

/// The mappings of a process that can be read and written, each with the flags that the kernel has
/// for it.
fn mappings(process: Process) -> Vec<([u64; 2], String)> {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps", process.0));
    let text = text.expect("the kernel lists mappings");
    let mut found: Vec<([u64; 2], String)> = Vec::new();
    let mut skip = true;
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if !skip && let Some((_, last)) = found.last_mut() {
                flags.clone_into(last);
            }
        } else if let Some((range, rights)) = line.split_once(' ')
            && let Some((from, to)) = range.split_once('-')
        {
            let numbers = [from, to].map(|number| u64::from_str_radix(number, 16));
            let [Ok(from), Ok(to)] = numbers else { continue };
            skip = !rights.starts_with("rw");
            if !skip {
                found.push(([from, to], String::new()));
            }
        }
    }
    found
}

/// The flags of the mappings that hold some bytes, once for each place.
fn places_of(bytes: &[u8], process: Process) -> Vec<String> {
    let memory = File::open(format!("/proc/{}/mem", process.0));
    let mut memory = memory.expect("a process that a test started may be looked at");
    let mut places = Vec::new();
    for ([from, to], flags) in mappings(process) {
        let mut held = vec![0; usize::try_from(to - from).expect("it fits")];
        memory.seek(SeekFrom::Start(from)).expect("an address");
        // A mapping may have gone since it was listed.
        if memory.read_exact(&mut held).is_ok() {
            let count = held.windows(bytes.len()).filter(|window| *window == bytes).count();
            places.extend(std::iter::repeat_n(flags, count));
        }
    }
    places
}

#[test]
fn the_key_is_in_memory_once_and_no_core_dump_has_it() {
    let folder = Folder::new();
    let apart = "placement = \"process\"";
    let setup = Setup::new("alpha").secured().peer_key(key_of(LISTED));
    let alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), apart));
    alpha.wait_until("it runs", |status| status.is("echo", "running"));
    // It has proved its key.
    Peer::link(Socket::shs(&alpha, LISTED), LISTED).echo("echo", b"hello");
    let text = std::fs::read_to_string(folder.path().join("alpha.key")).expect("the key file");
    let Key(seed) = text.trim_end().parse().expect("a key");
    let places = places_of(&seed, alpha.process());
    let [flags] = &places[..] else { panic!("it is there {} times", places.len()) };
    let not_dumped = flags.split_whitespace().any(|flag| flag == "dd");
    assert!(not_dumped, "a core dump would hold it: {flags}");
    let as_text = places_of(text.trim_end().as_bytes(), alpha.process());
    assert_eq!(as_text.len(), 0, "the text of the file is left in memory");
    for host in alpha.process().children() {
        assert_eq!(places_of(&seed, host).len(), 0, "a plugin's process has its server's key");
    }
}
