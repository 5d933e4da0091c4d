//! Checks from its headers alone whether an ELF file can be mapped safely.
//!
//! The dynamic linker trusts the headers: mapping a file that is shorter than they say ends the
//! process with SIGBUS. This module is not a linker: it reads lengths, machine, and exported names.

use std::env::consts::ARCH;

use super::Problem;

/// The parts of a 64-bit ELF header; offsets and sizes are the specification's, in bytes.
const HEADER_LEN: u64 = 64;
const PROGRAM_HEADER_LEN: u64 = 56;
const SECTION_HEADER_LEN: u64 = 64;
const DYNAMIC_ENTRY_LEN: u64 = 16;

/// `e_ident`: 64 bits.
const CLASS_64: u8 = 2;
/// `e_ident`: the byte order of this machine.
const DATA_NATIVE: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
/// `e_type`: a shared object.
const TYPE_SHARED: u16 = 3;
/// `p_type`: a part of the file that is mapped.
const SEGMENT_LOAD: u32 = 1;
/// `p_type`: the dynamic linker's table.
const SEGMENT_DYNAMIC: u32 = 2;
/// `d_tag`: the address of the table of names.
const DYNAMIC_STRINGS: u64 = 5;
/// `d_tag`: its length.
const DYNAMIC_STRINGS_LEN: u64 = 10;
/// `d_tag`: where to look for libraries, as a place in the table of names.
const DYNAMIC_RPATH: u64 = 15;
const DYNAMIC_RUNPATH: u64 = 29;

/// `e_machine` numbers, as Rust calls the architectures. A file for any other is refused as well.
const MACHINES: [(u16, &str); 9] = [
    (3, "x86"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];

/// Checks that this is a whole shared library for this machine.
pub(super) fn check(file: &[u8]) -> Result<(), Problem> {
    if file.is_empty() {
        return Err(Problem::Empty);
    }
    let magic = b"\x7fELF";
    if !file.starts_with(&magic[..file.len().min(magic.len())]) {
        return Err(Problem::NotElf);
    }
    need(file, HEADER_LEN)?;
    check_machine(file)?;
    if u16_at(file, 16) != Some(TYPE_SHARED) {
        return Err(Problem::NotShared);
    }
    check_lengths(file)
}

/// Whether the file's table of dynamic names contains this one. Only for a file that passed
/// `check`.
pub(super) fn exports(file: &[u8], name: &str) -> bool {
    let names = dynamic_names(file).unwrap_or_default();
    names.split(|&byte| byte == 0).any(|one| one == name.as_bytes())
}

/// Whether the file asks the dynamic linker to look for libraries beside it. Only for a file that
/// passed `check`.
pub(super) fn looks_beside_itself(file: &[u8]) -> bool {
    let paths = [DYNAMIC_RPATH, DYNAMIC_RUNPATH].into_iter().filter_map(|tag| {
        let at = usize::try_from(dynamic_value(file, tag)?).ok()?;
        dynamic_names(file)?.get(at..)?.split(|&byte| byte == 0).next()
    });
    let names_origin = |path: &[u8]| {
        [&b"$ORIGIN"[..], b"${ORIGIN}"]
            .iter()
            .any(|word| path.windows(word.len()).any(|part| part == *word))
    };
    paths.into_iter().any(names_origin)
}

fn check_machine(file: &[u8]) -> Result<(), Problem> {
    let found = u16_at(file, 18).unwrap_or_default();
    let found = match MACHINES.iter().find(|(number, _)| *number == found) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("machine type {found}"),
    };
    match (file[4], file[5]) {
        (CLASS_64, DATA_NATIVE) if found == ARCH => Ok(()),
        (CLASS_64, DATA_NATIVE) => Err(Problem::Machine { expected: ARCH, found }),
        _ => {
            let found = "another word size or byte order".to_owned();
            Err(Problem::Machine { expected: ARCH, found })
        }
    }
}

/// Checks that all parts of the file that its headers name lie within it.
fn check_lengths(file: &[u8]) -> Result<(), Problem> {
    let table_end = |offset, count, len| {
        let end = u64_at(file, offset).zip(u16_at(file, count));
        end.map_or(u64::MAX, |(start, count)| start.saturating_add(u64::from(count) * len))
    };
    need(file, table_end(32, 56, PROGRAM_HEADER_LEN))?;
    need(file, table_end(40, 60, SECTION_HEADER_LEN))?;
    for segment in segments(file) {
        need(file, segment.offset.saturating_add(segment.len))?;
    }
    Ok(())
}

fn need(file: &[u8], expected: u64) -> Result<(), Problem> {
    let found = file.len() as u64;
    if found >= expected { Ok(()) } else { Err(Problem::Truncated { expected, found }) }
}

/// A part of the file, and the address at which it will be mapped.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    len: u64,
}

/// The segments of a file whose program headers lie within it.
fn segments(file: &[u8]) -> impl Iterator<Item = Segment> {
    let (start, count) = (u64_at(file, 32).unwrap_or(0), u16_at(file, 56).unwrap_or(0));
    (0..u64::from(count)).map_while(move |index| {
        let header = start.checked_add(index * PROGRAM_HEADER_LEN)?;
        Some(Segment {
            kind: u32_at(file, header)?,
            offset: u64_at(file, header + 8)?,
            address: u64_at(file, header + 16)?,
            len: u64_at(file, header + 32)?,
        })
    })
}

/// The value of this tag in the dynamic linker's table.
fn dynamic_value(file: &[u8], tag: u64) -> Option<u64> {
    let dynamic = segments(file).find(|segment| segment.kind == SEGMENT_DYNAMIC)?;
    let mut entries =
        (0..dynamic.len / DYNAMIC_ENTRY_LEN).map(|n| dynamic.offset + n * DYNAMIC_ENTRY_LEN);
    let found = entries.find(|&at| u64_at(file, at) == Some(tag))?;
    u64_at(file, found + 8)
}

/// The table of names for the dynamic linker, each ending with a NUL.
fn dynamic_names(file: &[u8]) -> Option<&[u8]> {
    let address = dynamic_value(file, DYNAMIC_STRINGS)?;
    let len = dynamic_value(file, DYNAMIC_STRINGS_LEN)?;
    let holds = |segment: &Segment| {
        segment.kind == SEGMENT_LOAD
            && address.checked_sub(segment.address).is_some_and(|offset| offset < segment.len)
    };
    let segment = segments(file).find(holds)?;
    let start = (address - segment.address).checked_add(segment.offset)?;
    let range = usize::try_from(start).ok()?..usize::try_from(start.checked_add(len)?).ok()?;
    file.get(range)
}

fn u16_at(file: &[u8], at: u64) -> Option<u16> {
    array_at(file, at).map(u16::from_ne_bytes)
}

fn u32_at(file: &[u8], at: u64) -> Option<u32> {
    array_at(file, at).map(u32::from_ne_bytes)
}

fn u64_at(file: &[u8], at: u64) -> Option<u64> {
    array_at(file, at).map(u64::from_ne_bytes)
}

fn array_at<const N: usize>(file: &[u8], at: u64) -> Option<[u8; N]> {
    file.get(usize::try_from(at).ok()?..)?.first_chunk().copied()
}
