//! How a test says that it cannot run here: one line on stderr that names what is missing, also
//! when the test passes. `make test` gives the file in which the lines are counted at its end.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The variable that names the file. Without it the line is only shown.
const FILE: &str = "TRUNKLINE_SKIPS";

/// Says that `what` is not tested, and which tool or right is missing.
pub fn aloud(what: &str, why: &str) {
    let line = line(what, why);
    // Not by a macro, whose output is kept back when the test passes. And in one piece, because
    // other tests write as well.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os(FILE) {
        note(Path::new(&file), &line);
    }
}

fn line(what: &str, why: &str) -> String {
    format!("SKIPPED: {what}: {why}\n")
}

/// Adds a line to the file, in one piece.
fn note(file: &Path, line: &str) {
    let file = OpenOptions::new().create(true).append(true).open(file);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        let _ = writeln!(std::io::stderr(), "a skipped test was not counted: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn each_skip_is_one_line_of_the_file() {
        let folder = Folder::new();
        let file = folder.path().join("skips");
        note(&file, &line("routes", "`nft` is not installed"));
        note(&file, &line("interoperation", "there is no node"));
        let text = std::fs::read_to_string(&file).expect("it was made");
        let expected =
            "SKIPPED: routes: `nft` is not installed\nSKIPPED: interoperation: there is no node\n";
        assert_eq!(text, expected);
    }
}
