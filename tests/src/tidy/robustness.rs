//! Calls that would end a server, and tests that are skipped silently.

use super::source::has_word;
use super::{Finding, Source};

/// The folders that are loaded into a server's process.
const SHIPPED: [&str; 3] = ["server/", "plugin-api/", "sample-plugins/"];

/// Calls that end the process, or a plugin, when an assumption is wrong.
const PANICS: [&str; 6] =
    [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];

/// Shipped code does not panic on purpose, unless the line above proves that it cannot.
#[must_use]
pub fn no_panics(source: &Source) -> Vec<Finding> {
    if !source.is_below(&SHIPPED) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut above = "";
    let text: Vec<&str> = source.text.lines().collect();
    for (number, line) in source.shipped_code() {
        if number > 1 {
            above = text[number - 2].trim_start();
        }
        let proven = above.starts_with("// ");
        if let Some(call) = PANICS.iter().find(|call| has_word(line, call))
            && !proven
        {
            let message = format!(
                "{call} outside of tests; return an error, or prove in a comment above that it \
                 cannot happen"
            );
            findings.push(source.finding(number, message));
        }
    }
    findings
}

/// No test is ignored without a reason.
#[must_use]
pub fn ignored_tests_give_a_reason(source: &Source) -> Vec<Finding> {
    let silent = |line: &str| {
        let attribute = line.trim().replace(' ', "");
        attribute == "#[ignore]" || attribute.starts_with("#[ignore=\"\"")
    };
    let found = source.lines().filter(|(_, line)| source.is_rust() && silent(line));
    let message = "#[ignore] without a reason; write #[ignore = \"why\"]";
    found.map(|(number, _)| source.finding(number, message)).collect()
}

/// No test waits for time to pass: that is too short on a slow machine, and too long on all others.
#[must_use]
pub fn no_sleep(source: &Source) -> Vec<Finding> {
    let found = source.all_code().filter(|(_, line)| has_word(line, "sleep("));
    let message = "a sleep; wait for the condition itself, with a deadline";
    found.map(|(number, _)| source.finding(number, message)).collect()
}

/// Tests report what they skip in one way, so that `make test` can count it.
#[must_use]
pub fn skips_are_counted(source: &Source) -> Vec<Finding> {
    let reports = ["tests/src/skip.rs", "tests/src/tidy/"];
    if !source.is_below(&["tests/"]) || source.is_below(&reports) || !source.is_rust() {
        return Vec::new();
    }
    let printed = |line: &str| {
        let line = line.to_lowercase();
        line.contains("\"skipped: ") && (line.contains("print") || line.contains("write"))
    };
    let found = source.lines().filter(|(_, line)| printed(line));
    let message = "a skip that is not counted; use trunkline_tests::skip::aloud";
    found.map(|(number, _)| source.finding(number, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_found() {
        for call in ["a.unwrap();", "a.expect(\"b\");", "panic!(\"a\");", "x => todo!(),"] {
            let text = format!("fn a() {{\n    {call}\n}}\n");
            let findings = no_panics(&Source::new("server/src/a.rs", &text));
            assert_eq!((findings.len(), findings[0].line), (1, 2), "{call}");
            assert_eq!(no_panics(&Source::new("tests/src/a.rs", &text)), [], "{call}");
        }
        let proven = "// The key was put in two lines above.\nlet a = b.expect(\"c\");";
        assert_eq!(no_panics(&Source::new("server/src/a.rs", proven)), []);
        let other = "a.unwrap_or(0); // b.unwrap()\n#[expect(dead_code)]\nfn c() {}";
        assert_eq!(no_panics(&Source::new("server/src/a.rs", other)), []);
    }

    #[test]
    fn a_test_left_out_in_silence_is_found() {
        for line in [concat!("#[ign", "ore]"), concat!("    #[ignore", " = \"\"]")] {
            let findings = ignored_tests_give_a_reason(&Source::new("a.rs", line));
            assert_eq!(findings.len(), 1, "{line}");
        }
        let said = Source::new("a.rs", "#[ignore = \"needs root\"]");
        assert_eq!(ignored_tests_give_a_reason(&said), []);
    }

    #[test]
    fn a_skip_that_is_not_counted_is_found() {
        let text = "println!(\"skipped: there is no node\");";
        assert_eq!(skips_are_counted(&Source::new("tests/tests/a.rs", text)).len(), 1);
        assert_eq!(skips_are_counted(&Source::new("tests/src/skip.rs", text)), []);
        let counted = "skip::aloud(\"interoperation\", \"there is no node\");";
        assert_eq!(skips_are_counted(&Source::new("tests/tests/a.rs", counted)), []);
    }

    #[test]
    fn a_sleep_is_found() {
        let text = "std::thread::sleep(pause);";
        assert_eq!(no_sleep(&Source::new("tests/tests/a.rs", text)).len(), 1);
        assert_eq!(no_sleep(&Source::new("tests/tests/a.rs", "asleep(); // sleep()")), []);
    }
}
