//! Instructions of each operation, counted by valgrind if it is installed. The counts are the same
//! from run to run, even on a busy machine.
//!
//! An operation is repeated N times and 2N times. The difference does not contain the cost of start
//! and end. `bounds` compares the counts with `counts.toml`.

mod bare_link;
mod bounds;
mod valgrind;
mod whole;

use std::hint::black_box;

use trunkline_plugin::Channel;
use trunkline_tests::folder::Folder;

use crate::calls;
use crate::fact::Fact;
use crate::programs::Programs;
use bare_link::Link;
pub(crate) use bounds::judge;
use whole::Place;

pub(crate) const INSTRUCTIONS: &str = "instructions";

/// An operation that is counted.
struct Counted {
    /// The name in tables and the key in `counts.toml`.
    name: &'static str,
    how: How,
    times: u64,
}

/// How an operation is repeated.
#[derive(Clone, Copy)]
enum How {
    /// By `bench count WHAT TIMES`: the whole program, or a function with its callees.
    Here { what: &'static str, within: Option<&'static str> },
    /// By a plugin in a server, which makes calls of this size.
    Calls { size: usize },
    /// By a plugin whose messages of 64 bytes are echoed.
    Messages(Place),
}

const fn counted(name: &'static str, how: How, times: u64) -> Counted {
    Counted { name, how, times }
}

const fn here(what: &'static str, within: Option<&'static str>) -> How {
    How::Here { what, within }
}

const WRITE_PATH: Option<&str> = Some("*bare_link::write_path*");
const READ_PATH: Option<&str> = Some("*bare_link::read_path*");

const COUNTED: [Counted; 10] = [
    counted("guarded call, empty", here("call", None), 10_000),
    counted("guarded call, 64 bytes of work", here("work", None), 10_000),
    counted("call within a server, empty", How::Calls { size: 0 }, 5_000),
    counted("call within a server, 64 bytes", How::Calls { size: 64 }, 5_000),
    counted("link, 64 bytes written", here("link", WRITE_PATH), 2_000),
    counted("link, 64 bytes read", here("link", READ_PATH), 2_000),
    counted("local, there and back", How::Messages(Place::Local), 3_000),
    counted("process, there and back", How::Messages(Place::Process), 3_000),
    counted("unix, there and back", How::Messages(Place::Unix), 3_000),
    counted("link, there and back", How::Messages(Place::Link), 3_000),
];

/// Counts all operations. If valgrind is missing, prints one line.
pub(crate) fn facts(programs: &Programs) -> Result<Vec<Fact>, String> {
    if let Err(why) = valgrind::is_installed() {
        return Ok(vec![Fact::skipped(INSTRUCTIONS, "instructions for each operation", why)]);
    }
    COUNTED.iter().map(|counted| fact(programs, counted)).collect()
}

/// Counts all operations, prints the lines for `counts.toml`, and compares.
///
/// # Errors
///
/// Counts that exceed those of `counts.toml`, and operations that could not be counted.
pub(crate) fn alone() -> Result<(), String> {
    let facts = facts(&Programs::beside_this_program()?)?;
    for fact in &facts {
        if let Some(count) = fact.value {
            println!("{:?} = {count:.0}", fact.name);
        }
    }
    judge(&facts)
}

fn fact(programs: &Programs, counted: &Counted) -> Result<Fact, String> {
    let Counted { name, how, times } = *counted;
    let total = |times| {
        // A new folder for each run, so that no file is left of an earlier run.
        let folder = Folder::new();
        match how {
            How::Here { what, within } => valgrind::this_program(&folder, what, times, within),
            How::Calls { size } => whole::calls(programs, &folder, size, times),
            How::Messages(place) => whole::messages(programs, &folder, place, times),
        }
    };
    let told = |why: String| format!("{name}: {why}");
    let difference = total(times * 2).and_then(|both| Ok(both.saturating_sub(total(times)?)));
    let each = difference.map_err(told)? as f64 / times as f64;
    Ok(Fact::new(INSTRUCTIONS, name, 1, each, "instructions"))
}

/// `bench count WHAT TIMES`.
pub(crate) fn repeat(what: &str, times: &str) -> Result<(), String> {
    let times: u64 = times.parse().map_err(|_| format!("{times:?} is not a number"))?;
    match what {
        "call" => {
            let mut instance = calls::guarded()?;
            (0..times).for_each(|_| drop(black_box(black_box(&mut instance).wake())));
        }
        "work" => {
            let mut instance = calls::guarded()?;
            let bytes = [7; 64];
            (0..times)
                .for_each(|_| drop(black_box(instance.write(Channel::new(1), black_box(&bytes)))));
        }
        "link" => Link::open().carry(times),
        _ => return Err(format!("{what} is nothing that can be counted")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_counted_in_this_program_can_be_repeated() {
        for counted in COUNTED {
            if let How::Here { what, .. } = counted.how {
                assert_eq!(repeat(what, "3"), Ok(()), "{}", counted.name);
            }
        }
        assert!(repeat("nothing", "3").is_err(), "there is no such operation");
    }
}
