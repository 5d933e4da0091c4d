//! Loading a plugin: Trunkline's complete loader against `dlopen` and the layout check alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use trunkline::loader;
use trunkline_tests::folder::Folder;

use crate::contender::{Contender, Group, Metric, Sample};
use crate::processes;
use crate::programs::Programs;

pub(crate) const LOADING: &str = "loading";
pub(crate) const PLAIN: &str = "dlopen and layout check";
pub(crate) const WHOLE: &str = "trunkline's loader";

/// Loads in a turn. They are few, because loaded files are never unloaded.
const LOADS: u64 = 4;

pub(crate) fn group(programs: &Programs) -> Group<'_> {
    let (folder, mut copies) = (Folder::new(), 0);
    let file = stripped(&programs.measure, folder.path());
    let (of_plain, of_whole) = (file.clone(), file.clone());
    let size = std::fs::metadata(&file).map_or(0, |file| file.len());
    let title = format!("Loading a plugin of {} KiB", size >> 10);
    let plain = move |_: Duration| {
        // The C library does not load a file twice, so each load needs a new one.
        let fresh = |number: u64| -> Result<PathBuf, String> {
            let copy = folder.path().join(format!("{number}.so"));
            std::fs::copy(&of_plain, &copy).map_err(|error| error.to_string())?;
            Ok(copy)
        };
        let files: Vec<PathBuf> = (copies..copies + LOADS).map(fresh).collect::<Result<_, _>>()?;
        copies += LOADS;
        timed(files.iter().map(PathBuf::as_path), |file| {
            loader::open_unguarded(file).map(drop).map_err(|error| error.to_string())
        })
    };
    let whole = move |_: Duration| {
        timed((0..LOADS).map(|_| of_whole.as_path()), |file| {
            loader::load(file, None).map(drop).map_err(|error| error.to_string())
        })
    };
    Group {
        key: LOADING,
        title,
        metric: Metric::Latency,
        x: 0,
        contenders: vec![Contender::new(PLAIN, plain), Contender::new(WHOLE, whole).against(PLAIN)],
    }
}

/// The plugin without debug information, as in a usual release build. `strip` is installed together
/// with the linker. Without it, the file is left as it is.
fn stripped(file: &Path, folder: &Path) -> PathBuf {
    let small = folder.join("stripped.so");
    let strip = Command::new("strip").arg("--strip-debug").arg("-o").arg(&small).arg(file).status();
    match strip {
        Ok(status) if status.success() => small,
        _ => file.to_owned(),
    }
}

fn timed<'a>(
    files: impl Iterator<Item = &'a Path>,
    load: impl Fn(&Path) -> Result<(), String>,
) -> Result<Sample, String> {
    let (cpu, began) = (processes::cpu(&[]), Instant::now());
    for file in files {
        load(file)?;
    }
    let sample = Sample::of(LOADS, 0, began.elapsed().as_secs_f64());
    Ok(Sample { cpu: processes::cpu(&[]) - cpu, ..sample })
}
