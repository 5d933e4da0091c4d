//! Wrong usage, printed as one line like every other error. Help and version are no errors.

use clap::error::ErrorKind;
use std::process::ExitCode;

/// Prints clap's message and returns the exit code for it.
pub(super) fn report(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match super::print(&error.render().to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(1),
        };
    }
    let why = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".into(),
        _ => one_line(&error.render().to_string()),
    };
    super::print_error(&format!("usage: {why}; see `trunkline --help`"));
    ExitCode::from(2)
}

/// Clap's message up to the usage, without its labels and line ends.
fn one_line(rendered: &str) -> String {
    let mut sentences: Vec<String> = Vec::new();
    let own = |text: &&str| !text.starts_with("Usage:") && !text.starts_with("For more");
    for paragraph in rendered.split("\n\n").take_while(own) {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        let text = words.join(" ");
        let text = text.strip_prefix("error: ").or(text.strip_prefix("tip: ")).unwrap_or(&text);
        sentences.push(text.into());
    }
    sentences.join("; ")
}
