//! What each layer may name: the core has no system, and `unsafe` is limited to a few places.

use super::source::has_word;
use super::{Finding, Source};

/// A part of the project, and what its code must not name.
struct Layer {
    folder: &'static str,
    never: &'static [&'static str],
    why: &'static str,
}

const LAYERS: [Layer; 6] = [
    Layer {
        folder: "server/core/",
        never: &["std::", "mio", "socket2", "rustix", "libloading", "trunkline_plugin"],
        why: "the core decides without a system, so that it can be simulated; give it the result \
              as data, from server/src",
    },
    Layer {
        folder: "server/shs/src/",
        never: &["std::net", "std::fs", "std::time", "std::thread", "mio", "socket2", "libloading"],
        why: "the handshake is bytes in, bytes out; do that in server/src",
    },
    Layer {
        folder: "server/net/",
        never: &["mio", "log", "trunkline", "trunkline_core", "trunkline_plugin"],
        why: "server and plugins share it; return what they need, and let them decide",
    },
    Layer {
        folder: "plugin-api/",
        never: &["mio", "socket2", "libloading", "trunkline_core", "std::net"],
        why: "the API is what a plugin links with, and knows nothing of a server's insides",
    },
    Layer {
        folder: "sample-plugins/",
        never: &["abi_stable", "mio", "libloading", "trunkline_core"],
        why: "a plugin needs trunkline-plugin alone; ask the host for it",
    },
    Layer {
        folder: "tests/bench/plugin/",
        never: &["abi_stable", "mio", "libloading", "serde_json", "trunkline_core"],
        why: "it measures what a plugin of anybody's would have; ask the host for it",
    },
];

/// The only places with `unsafe`. The hostile plugin calls the kernel as an attacker does.
const UNSAFE: [&str; 4] = [
    "plugin-api/src/",
    "server/src/loader/",
    "server/src/log/last_words.rs",
    "tests/fixtures/hostile/src/",
];

/// The module and the file that know `abi_stable`; others know the types of `trunkline-plugin`.
const ABI: [&str; 3] =
    ["plugin-api/src/abi.rs", "plugin-api/src/abi/", "server/src/loader/check.rs"];

/// No layer names what it must not know, in its code or among its dependencies.
#[must_use]
pub fn keep_to_themselves(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for layer in LAYERS.iter().filter(|layer| source.path.starts_with(layer.folder)) {
        for word in layer.never {
            let code = source.shipped_code().filter(|(_, line)| has_word(line, word));
            let manifest = source.lines().filter(|(_, line)| depends_on(source, line, word));
            for (number, _) in code.chain(manifest) {
                let message = format!("{} must not name {word}: {}", layer.folder, layer.why);
                findings.push(source.finding(number, message));
            }
        }
    }
    findings
}

/// The core's first lines forbid what the compiler can forbid.
#[must_use]
pub fn core_forbids(source: &Source) -> Vec<Finding> {
    if source.path != "server/core/src/lib.rs" {
        return Vec::new();
    }
    let needed = ["#![no_std]", "#![forbid(unsafe_code)]"];
    let missing = needed.into_iter().filter(|line| !source.code.iter().any(|have| have == line));
    missing.map(|line| source.finding(1, format!("{line} is missing; put it back"))).collect()
}

/// `unsafe` occurs only in its places.
#[must_use]
pub fn unsafe_has_few_places(source: &Source) -> Vec<Finding> {
    if source.is_below(&UNSAFE) {
        return Vec::new();
    }
    let found = source.all_code().filter(|(_, line)| has_word(line, "unsafe"));
    let message = format!("`unsafe` outside of {}; find a safe way", UNSAFE.join(" and "));
    found.map(|(number, _)| source.finding(number, message.as_str())).collect()
}

/// `abi_stable` is named only where it is wrapped.
#[must_use]
pub fn abi_stable_is_wrapped(source: &Source) -> Vec<Finding> {
    if source.is_below(&ABI) {
        return Vec::new();
    }
    let found = source.all_code().filter(|(_, line)| has_word(line, "abi_stable"));
    let message = format!("abi_stable outside of {}; wrap it there", ABI.join(", "));
    found.map(|(number, _)| source.finding(number, message.as_str())).collect()
}

/// No profile ends the process at a panic: a plugin's panic is caught by unwinding.
#[must_use]
pub fn panics_unwind(source: &Source) -> Vec<Finding> {
    let manifest = source.path.ends_with("Cargo.toml");
    let compact = |line: &str| line.replace([' ', '\''], "").replace('"', "");
    let found = source.lines().filter(|(_, line)| compact(line).starts_with("panic=abort"));
    let message = "a profile that aborts: one plugin's panic would end the server; remove it";
    found.filter(|_| manifest).map(|(number, _)| source.finding(number, message)).collect()
}

/// Whether a line of a manifest names a package as a dependency.
fn depends_on(source: &Source, line: &str, word: &str) -> bool {
    let package = word.trim_end_matches(':').replace('_', "-");
    let rest = line.strip_prefix(&package);
    let ends = |rest: &str| rest.starts_with(['.', ' ', '=']);
    source.path.ends_with("Cargo.toml") && rest.is_some_and(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&Source) -> Vec<Finding>;

    #[test]
    fn what_breaks_a_layer_is_found() {
        for (rule, path, text) in [
            (keep_to_themselves as Rule, "server/core/src/a.rs", "use std::net::TcpStream;"),
            (keep_to_themselves, "server/core/Cargo.toml", "mio.workspace = true"),
            (keep_to_themselves, "server/shs/src/lib.rs", "let now = std::time::Instant::now();"),
            (keep_to_themselves, "plugin-api/src/a.rs", "use trunkline_core::name::Name;"),
            (keep_to_themselves, "sample-plugins/a/Cargo.toml", "abi_stable = \"0.11\""),
            (unsafe_has_few_places, "server/src/serve/a.rs", "let a = unsafe { b() };"),
            (unsafe_has_few_places, "tests/tests/a.rs", "unsafe extern \"C\" {}"),
            (abi_stable_is_wrapped, "plugin-api/src/b.rs", "use abi_stable::StableAbi;"),
            (panics_unwind, "Cargo.toml", "panic = \"abort\""),
            (core_forbids, "server/core/src/lib.rs", "#![no_std]\n"),
        ] {
            let text = text.replace("abi_stable = ", "abi-stable = ");
            assert_eq!(rule(&Source::new(path, &text)).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn what_keeps_to_its_layer_is_not_found() {
        for (rule, path, text) in [
            (keep_to_themselves as Rule, "server/core/src/a.rs", "use core::fmt; // std::"),
            (keep_to_themselves, "server/core/src/a.rs", "#[cfg(test)]\nmod a { use std::fs; }"),
            (keep_to_themselves, "server/src/a.rs", "use mio::Poll;"),
            (unsafe_has_few_places, "plugin-api/src/a.rs", "unsafe { b() }"),
            (unsafe_has_few_places, "server/core/src/lib.rs", "#![forbid(unsafe_code)]"),
            (abi_stable_is_wrapped, "plugin-api/src/abi.rs", "use abi_stable::StableAbi;"),
            (panics_unwind, "Cargo.toml", "# No profile may say `panic = \"abort\"`"),
        ] {
            assert_eq!(rule(&Source::new(path, text)), [], "{path}: {text}");
        }
    }
}
