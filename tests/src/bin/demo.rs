//! `make demo`: runs the demonstration, and says by its exit code whether all of it held.

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
