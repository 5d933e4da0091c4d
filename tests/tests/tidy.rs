//! Checks the house rules under plain `cargo test`. Each failure names the file, the line and what
//! to do. The rules themselves are in `tests/src/tidy`, where they are tested on bad inputs too.

use trunkline_core::reason::Code;
use trunkline_tests::tidy::{self, Finding, Source};
use trunkline_tests::tidy::{
    documents, forbidden, layers, naming, places, robustness, size, trespass, words,
};

/// Fails with one line for each finding.
fn none(findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} to mend:\n{}\n", lines.len(), lines.join("\n"));
}

fn everywhere(rule: impl Fn(&Source) -> Vec<Finding>) {
    none(tidy::project().iter().flat_map(rule).collect());
}

fn file(path: &str) -> Source {
    let found = tidy::project().into_iter().find(|source| source.path == path);
    found.unwrap_or_else(|| panic!("{path} is missing"))
}

#[test]
fn every_file_of_the_project_is_checked() {
    let project = tidy::project();
    let has = |path: &str| project.iter().any(|source| source.path == path);
    for path in ["Cargo.toml", ".ci/run", "server/core/src/lib.rs", "tests/tests/tidy.rs"] {
        assert!(has(path), "{path} was not looked at");
    }
    let built = project.iter().find(|source| source.path.starts_with("target/"));
    assert!(built.is_none(), "what was built is not the project's: {built:?}");
}

#[test]
fn files_are_short() {
    everywhere(size::file_length);
}

#[test]
fn functions_are_short() {
    everywhere(size::function_length);
}

#[test]
fn lines_are_narrow() {
    everywhere(size::line_width);
}

#[test]
fn files_and_modules_have_meaningful_names() {
    everywhere(naming::no_empty_names);
}

#[test]
fn each_file_begins_with_its_purpose() {
    everywhere(naming::says_what_it_is_for);
}

#[test]
fn layers_do_not_name_what_they_must_not_know() {
    everywhere(layers::keep_to_themselves);
}

#[test]
fn the_core_forbids_what_the_compiler_can_forbid() {
    everywhere(layers::core_forbids);
}

#[test]
fn sockets_and_their_files_are_made_in_one_place() {
    everywhere(forbidden::one_place_each);
}

#[test]
fn unsafe_code_has_few_places() {
    everywhere(layers::unsafe_has_few_places);
}

#[test]
fn abi_stable_is_wrapped() {
    everywhere(layers::abi_stable_is_wrapped);
}

#[test]
fn no_profile_aborts_at_a_panic() {
    everywhere(layers::panics_unwind);
}

#[test]
fn shipped_code_does_not_panic_on_purpose() {
    everywhere(robustness::no_panics);
}

#[test]
fn ignored_tests_give_a_reason() {
    everywhere(robustness::ignored_tests_give_a_reason);
}

#[test]
fn tests_wait_for_conditions_and_never_sleep() {
    everywhere(robustness::no_sleep);
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    everywhere(trespass::no_paths_of_a_machine);
}

#[test]
fn no_file_names_a_registry() {
    everywhere(trespass::no_registries);
}

#[test]
fn the_readme_shows_the_echo_plugin() {
    let plugin = file("sample-plugins/echo/src/lib.rs");
    none(documents::shows_the_plugin(&file("README.md"), &plugin));
    let lines = plugin.text.lines().count();
    assert!(lines <= 25, "an echo should fit in 25 lines, and has {lines}");
}

#[test]
fn rust_in_the_readme_is_from_the_samples() {
    let samples =
        ["clock", "echo", "poll"].map(|name| file(&format!("sample-plugins/{name}/src/lib.rs")));
    none(documents::shows_samples(&file("README.md"), &samples));
}

#[test]
fn the_protocol_lists_the_codes_of_the_server() {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    none(documents::lists_the_codes(&file("PROTOCOL.md"), &codes));
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    everywhere(|source| documents::broken_links(source, tidy::root()));
}

#[test]
fn documents_are_narrow() {
    everywhere(words::narrow_documents);
}

#[test]
fn documents_and_comments_are_in_plain_english() {
    everywhere(words::plain_english);
}

#[test]
fn tables_of_the_architecture_name_what_exists() {
    let architecture = file("ARCHITECTURE.md");
    none(places::lead_to_definitions(&architecture, &tidy::project()));
    let rows = places::rows_in(&architecture, "Index");
    assert!(rows >= 40, "the index should answer 40 questions, and has {rows} rows");
}

#[test]
fn threats_have_tests() {
    let security = file("SECURITY.md");
    none(places::lead_to_tests(&security, &tidy::project()));
    let rows = security.text.lines().filter(|line| line.starts_with("| ")).count();
    assert!(rows >= 40, "the threat model has {rows} rows");
}

#[test]
fn skips_are_counted() {
    everywhere(robustness::skips_are_counted);
}
