//! Compares the counts with `counts.toml`, if both are of the same compiler and C library. With
//! others the numbers differ even for the same code.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;
use trunkline_tests::skip;

use super::INSTRUCTIONS;
use crate::fact::Fact;

/// The tolerance of a count. It is less than one line of code costs on the long paths, and more
/// than the difference between runs.
const ABOVE_MAX: f64 = 1.02;

const FILE: &str = "tests/bench/counts.toml";

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Bounds {
    counted_with: With,
    instructions: BTreeMap<String, f64>,
}

/// The environment, on which the counts depend.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    architecture: String,
    rustc: String,
    libc: String,
}

/// Fails when a count is above its bound.
///
/// # Errors
///
/// One line for each such count, and for each that is not in the file.
pub(crate) fn judge(facts: &[Fact]) -> Result<(), String> {
    let bounds = bounds()?;
    if let Some(why) = facts
        .iter()
        .filter(|fact| fact.section == INSTRUCTIONS)
        .find_map(|fact| fact.skipped.as_ref())
    {
        skip::aloud(&comparing(), why);
        return Ok(());
    }
    let here = With::here();
    if here != bounds.counted_with {
        let With { architecture, rustc, libc } = &bounds.counted_with;
        let why = format!(
            "it was counted with rustc {rustc} and {libc} on {architecture}, and here are rustc \
             {} and {} on {}",
            here.rustc, here.libc, here.architecture
        );
        skip::aloud(&comparing(), &why);
        return Ok(());
    }
    let wrong = compare(facts, &bounds.instructions);
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\nbench: ")),
    }
}

fn comparing() -> String {
    format!("comparing instructions with {FILE}")
}

fn bounds() -> Result<Bounds, String> {
    let text = include_str!("../../counts.toml");
    toml::from_str(text).map_err(|error| format!("{FILE}: {error}"))
}

/// A line for each count that is above its bound, or that has none.
fn compare(facts: &[Fact], bounds: &BTreeMap<String, f64>) -> Vec<String> {
    let counts = facts.iter().filter(|fact| fact.section == INSTRUCTIONS);
    let counts = counts.filter_map(|fact| Some((&fact.name, fact.value?)));
    let mut wrong = Vec::new();
    for (name, count) in counts {
        match bounds.get(name) {
            None => wrong.push(format!("{name}: {count:.0} instructions; add it to {FILE}")),
            Some(bound) if count > bound * ABOVE_MAX => {
                let percent = (count / bound - 1.0) * 100.0;
                wrong.push(format!(
                    "{name}: {count:.0} instructions are {percent:.1} % more than the {bound:.0} \
                     of {FILE}; save them, or raise the number in a commit of its own that says why"
                ));
            }
            Some(bound) if count * ABOVE_MAX < *bound => {
                eprintln!(
                    "{name}: {count:.0} instructions, fewer than {bound:.0}; lower it in {FILE}"
                );
            }
            Some(_) => {}
        }
    }
    wrong
}

impl With {
    /// The compiler and the C library of this program.
    fn here() -> With {
        let program = std::env::current_exe().and_then(std::fs::read).unwrap_or_default();
        let libc = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
        let libc = libc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        With {
            architecture: std::env::consts::ARCH.to_owned(),
            rustc: compiler(&program).unwrap_or_else(|| "of an unknown version".to_owned()),
            libc: libc.unwrap_or_else(|_| "a C library of an unknown version".to_owned()),
        }
    }
}

/// The version in the note `rustc version 1.2.3 (...)` that the compiler leaves in a program.
fn compiler(program: &[u8]) -> Option<String> {
    const NOTE: &[u8] = b"rustc version ";
    let versions = program.windows(NOTE.len() + 1).enumerate();
    // This string is in the program too, but not followed by a digit.
    let (at, _) = versions.into_iter().find(|(_, window)| {
        window.starts_with(NOTE) && window.last().is_some_and(u8::is_ascii_digit)
    })?;
    let rest = program[at + NOTE.len()..].iter();
    let version = rest.take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    Some(version.map(|byte| char::from(*byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::COUNTED;
    use super::*;

    fn fact(name: &str, count: f64) -> Fact {
        Fact::new(INSTRUCTIONS, name, 1, count, "instructions")
    }

    #[test]
    fn the_file_has_exactly_the_counted_operations() {
        let bounds = bounds().expect("the file can be read");
        let mut counted: Vec<&str> = COUNTED.iter().map(|counted| counted.name).collect();
        counted.sort_unstable();
        assert!(bounds.instructions.keys().eq(counted.iter()), "{:?}", bounds.instructions);
    }

    #[test]
    fn two_percent_more_are_tolerated_and_three_are_not() {
        let bounds = BTreeMap::from([("a".to_owned(), 1000.0)]);
        assert!(compare(&[fact("a", 1020.0), fact("a", 500.0)], &bounds).is_empty());
        let wrong = compare(&[fact("a", 1030.0)], &bounds);
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("a: 1030 instructions are 3.0 % more than the 1000 of "));
        let other = Fact { section: "memory", ..fact("a", 9000.0) };
        assert!(compare(&[other], &bounds).is_empty(), "it is no count of instructions");
        assert_eq!(compare(&[fact("b", 1.0)], &bounds).len(), 1, "it has no bound");
    }

    #[test]
    fn the_compiler_of_a_program_is_found() {
        let program = b"..rustc version ..\0rustc version 1.2.34 (abc)\0";
        assert_eq!(compiler(program).as_deref(), Some("1.2.34"));
        assert_eq!(compiler(b"rustc version "), None);
        let here = With::here();
        assert!(here.rustc.starts_with("1."), "{here:?}");
    }
}
