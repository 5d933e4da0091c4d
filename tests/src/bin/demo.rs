//! `make demo`: runs the demonstration. The exit code is 0 only if every check passed.

use std::process::ExitCode;

fn main() -> ExitCode {
    match trunkline_tests::demo::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}
