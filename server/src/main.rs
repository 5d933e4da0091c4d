//! The binary: passes everything to the library.

fn main() -> std::process::ExitCode {
    trunkline::cli::main()
}
