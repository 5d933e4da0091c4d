//! The files built by `make build`, and the folder of the report.

use std::path::{Path, PathBuf};

/// The measured programs and plugins.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) bench: PathBuf,
    pub(crate) trunkline: PathBuf,
    pub(crate) measure: PathBuf,
    pub(crate) forward: PathBuf,
}

impl Programs {
    /// Finds them in cargo's folder.
    pub(crate) fn beside_this_program() -> Result<Self, String> {
        let bench = std::env::current_exe();
        let bench = bench.map_err(|error| format!("this program's own file: {error}"))?;
        let beside = |name: &str| match bench.with_file_name(name) {
            path if path.is_file() => Ok(path),
            path => Err(format!("{} is missing; run `make bench`", path.display())),
        };
        let (trunkline, measure) = (beside("trunkline")?, beside("libmeasure.so")?);
        Ok(Self { trunkline, measure, forward: beside("libforward.so")?, bench })
    }

    /// The folder of the report, below cargo's target folder.
    pub(crate) fn report_folder(&self) -> Result<PathBuf, String> {
        // This program is TARGET/PROFILE/bench.
        let target = self.bench.ancestors().nth(2).unwrap_or(Path::new("target"));
        let folder = target.join("bench");
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }
}
