//! The check of a plugin's file, before anything of it is mapped.

use crate::Script;
use trunkline::loader::check_content;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const STRINGS: u64 = 5;
const STRINGS_LENGTH: u64 = 10;

/// Any bytes, or a shared library that is changed.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    match script.below(3) {
        0 => check(script.rest()),
        1 => changed(&mut script),
        _ => whole(&mut script),
    }
}

/// What is accepted lies within the file, as its headers have it. Only such a file is asked for
/// its names.
fn check(file: &[u8]) {
    match check_content(file, "trunkline") {
        Ok(_) => segments_are_there(file),
        Err(problem) => {
            let told = problem.to_string();
            assert!(!told.contains(char::is_control), "not one line of text: {told:?}");
        }
    }
}

/// The same question as the check's, asked in another way.
fn segments_are_there(file: &[u8]) {
    assert!(file.starts_with(b"\x7fELF") && file.len() >= HEADER);
    let start = u64_at(file, 32) as usize;
    let count = usize::from(u16::from_ne_bytes([file[56], file[57]]));
    let table = &file[start..start + count * PROGRAM_HEADER];
    for header in table.chunks_exact(PROGRAM_HEADER) {
        let end = u128::from(u64_at(header, 8)) + u128::from(u64_at(header, 32));
        assert!(end <= file.len() as u128, "a segment ends at {end} of {}", file.len());
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let (eight, _) = bytes[at..].split_first_chunk::<8>().expect("eight bytes");
    u64::from_ne_bytes(*eight)
}

/// A shared library with these names, as small as one can be.
fn library(names: &[Vec<u8>], address: u64) -> Vec<u8> {
    let strings: Vec<u8> = names.iter().flat_map(|name| [&name[..], &[0]].concat()).collect();
    let dynamic = HEADER + 2 * PROGRAM_HEADER;
    let start = dynamic + 3 * 16;
    let length = start + strings.len();
    let mut file = vec![0; HEADER];
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    file[16..18].copy_from_slice(&3_u16.to_ne_bytes());
    file[18..20].copy_from_slice(&machine.to_ne_bytes());
    file[32..40].copy_from_slice(&(HEADER as u64).to_ne_bytes());
    file[54..56].copy_from_slice(&(PROGRAM_HEADER as u16).to_ne_bytes());
    file[56..58].copy_from_slice(&2_u16.to_ne_bytes());
    for (kind, offset, bytes) in [(LOAD, 0, length), (DYNAMIC, dynamic, 3 * 16)] {
        file.extend(kind.to_ne_bytes());
        file.extend([0; 4]);
        let at = address.wrapping_add(offset as u64);
        for number in [offset as u64, at, at, bytes as u64, bytes as u64, 4096] {
            file.extend(number.to_ne_bytes());
        }
    }
    let at = address.wrapping_add(start as u64);
    for number in [STRINGS, at, STRINGS_LENGTH, strings.len() as u64, 0, 0] {
        file.extend(number.to_ne_bytes());
    }
    file.extend(strings);
    file
}

fn names(script: &mut Script<'_>) -> Vec<Vec<u8>> {
    let name = |script: &mut Script<'_>| {
        let length = 1 + script.below(12);
        script.bytes(length).iter().map(|byte| byte | 1).collect()
    };
    (0..=script.below(6)).map(|_| name(script)).collect()
}

/// Bytes of a library are changed, or lost.
fn changed(script: &mut Script<'_>) {
    let names = names(script);
    let address = script.number() % (1 << 40);
    let mut file = library(&names, address);
    for _ in 0..script.below(8) {
        let (at, what) = (script.below(file.len()), script.number());
        match script.below(3) {
            0 => file[at] ^= what as u8 | 1,
            1 => {
                let word = at & !7;
                let end = file.len().min(word + 8);
                file[word..end].copy_from_slice(&what.to_ne_bytes()[..end - word]);
            }
            _ => file.truncate(at.max(1)),
        }
    }
    check(&file);
}

/// A library is accepted, and has its names and no others; with its end missing it is refused.
fn whole(script: &mut Script<'_>) {
    let names = names(script);
    let address = script.number() % (1 << 40);
    let file = library(&names, address);
    for name in ["trunkline", "a", "1"]
        .iter()
        .map(|name| name.as_bytes())
        .chain(names.iter().map(Vec::as_slice))
    {
        let Ok(text) = std::str::from_utf8(name) else { continue };
        let has = names.iter().any(|other| other == name) || name.is_empty();
        let found = check_content(&file, text);
        assert!(found.as_ref().is_ok_and(|found| *found == has), "{text:?}: {found:?}");
    }
    let end = script.below(file.len());
    assert!(check_content(&file[..end], "a").is_err(), "{end} of {} bytes do", file.len());
}
