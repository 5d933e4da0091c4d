//! Whether an opened library is a plugin of our API: its version, then the layout of its types.
//!
//! This is the only place in the server that knows `abi_stable`. Its own loading functions are not
//! used, because they give two files the same module, refuse a plugin that is older than its host,
//! and let two plugins refuse each other.

use std::fmt::Display;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{
    AbiInstability, AbiInstabilityErrors, CheckingGlobals, ExpectedFound,
    check_layout_compatibility_with_globals,
};
use abi_stable::library::{
    AbiHeader, AbiHeaderRef, CAbiTestingFns, LibHeader, ROOT_MODULE_LOADER_NAME,
    ROOT_MODULE_LOADER_NAME_WITH_NUL,
};
use abi_stable::sabi_types::VersionNumber;
use abi_stable::type_layout::{TLFieldOrFunction, TypeLayout};
use libloading::os::unix::Library;
use trunkline_plugin::abi::{ModuleRef, VERSION};

use super::Problem;

/// The most characters of a type's name that are shown.
const LONGEST_TYPE: usize = 80;

/// The name of what each plugin exports.
pub(super) fn symbol() -> &'static str {
    ROOT_MODULE_LOADER_NAME
}

/// The module of a library that stays open forever.
pub(super) fn module(library: &'static Library) -> Result<ModuleRef, Problem> {
    let name = ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes();
    // SAFETY: a file that exports this name exports abi_stable's header.
    let raw = unsafe { library.get::<*const LibHeader>(name) };
    let raw = *raw.map_err(|_| Problem::NotAPlugin)?;
    // SAFETY: as above.
    if !unsafe { can_be_tested(raw) } {
        return Err(Problem::Checks);
    }
    // SAFETY: as above.
    let header = unsafe { library.get::<AbiHeaderRef>(name) };
    let header = header.map_err(|_| Problem::NotAPlugin)?;
    let header = header.upgrade().map_err(|_| Problem::Checks)?;
    check_layout(header, check_version(header)?)?;
    // SAFETY: the layout was checked.
    unsafe { header.unchecked_layout::<ModuleRef>() }
        .map_err(|_| Problem::Refused("its module cannot be made; build it again".to_owned()))
}

/// Whether a header is of our release of abi_stable, and has the functions by which `upgrade` tests
/// the calling convention: it calls them before it checks anything.
///
/// # Safety
///
/// The header is one of abi_stable: it begins with a magic string, which is compared before the
/// rest is read.
unsafe fn can_be_tested(header: *const LibHeader) -> bool {
    // SAFETY: see above.
    let valid = unsafe { header.cast::<AbiHeader>().as_ref() }.is_some_and(AbiHeader::is_valid);
    if !valid {
        return false;
    }
    // SAFETY: a header with this magic string and version has these fields.
    let functions = unsafe { &*header }.root_mod_consts().c_abi_testing_fns();
    let functions: *const CAbiTestingFns = functions;
    const COUNT: usize = size_of::<CAbiTestingFns>() / size_of::<usize>();
    // SAFETY: the table consists of this many function pointers; as numbers they may be zero.
    let functions: [usize; COUNT] = unsafe { functions.cast::<[usize; COUNT]>().read() };
    functions.iter().all(|function| *function != 0)
}

/// The side that knows fewer functions.
#[derive(Clone, Copy)]
enum Older {
    Server,
    Plugin,
}

fn check_version(header: &LibHeader) -> Result<Older, Problem> {
    let found = header.version_strings();
    let problem = || Problem::Api { expected: VERSION.to_string(), found: found.to_string() };
    let ours = VersionNumber::new(VERSION).map_err(|_| problem())?;
    let theirs = VersionNumber::new(found).map_err(|_| problem())?;
    match theirs.major == ours.major {
        true if theirs.minor < ours.minor => Ok(Older::Plugin),
        true => Ok(Older::Server),
        false => Err(problem()),
    }
}

/// Compares the layouts of all types that cross the boundary.
///
/// A table may have more fields at its end, and the check takes the shorter one first. It remembers
/// all layouts that it has seen in the globals. They are new each time, because two plugins with
/// different additions do not know each other.
fn check_layout(header: &LibHeader, older: Older) -> Result<(), Problem> {
    let ours: &'static TypeLayout = <ModuleRef as StableAbi>::LAYOUT;
    let theirs = header.layout().ok_or(Problem::Checks)?;
    let globals = &CheckingGlobals::new();
    let checked = match older {
        Older::Server => check_layout_compatibility_with_globals(ours, theirs, globals),
        Older::Plugin => check_layout_compatibility_with_globals(theirs, ours, globals),
    };
    checked.map_err(|errors| first_difference(&errors, older))
}

/// The first difference; the whole report may have hundreds of lines.
fn first_difference(errors: &AbiInstabilityErrors, older: Older) -> Problem {
    let first = errors.errors.iter().find_map(|error| Some((error, error.errs.first()?)));
    let Some((error, what)) = first else {
        let (expected, found) = ("the same types".to_owned(), "others".to_owned());
        return Problem::Layout { place: "plugin".to_owned(), expected, found };
    };
    let place = place_of(error.stack_trace.iter().map(|step| name_of(&step.expected)));
    let (shorter, longer) = sides(what);
    let (expected, found) = match older {
        Older::Server => (shorter, longer),
        Older::Plugin => (longer, shorter),
    };
    Problem::Layout { place, expected, found }
}

/// The path to the difference. The checks name a function pointer like its function, and wrap each
/// table in a struct whose only field is called 0.
fn place_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut place: Vec<&str> = Vec::new();
    for name in names.map(|name| name.trim_matches(',')) {
        if place.last() != Some(&name) && name != "0" {
            place.push(name);
        }
    }
    place.join(".")
}

fn name_of(step: &TLFieldOrFunction) -> &str {
    match step {
        TLFieldOrFunction::Field(field) => field.name(),
        TLFieldOrFunction::Function(function) => function.name.as_str(),
    }
}

/// What each of the two layouts has where they differ.
fn sides(what: &AbiInstability) -> (String, String) {
    use AbiInstability as A;
    match what {
        A::Name(sides) | A::GenericParamCount(sides) => show("type", sides),
        A::Package(sides) => show("a type of", sides),
        A::PackageVersion(sides) => show("a type of version", sides),
        A::Size(sides) => show("bytes:", sides),
        A::Alignment(sides) => show("alignment", sides),
        A::FieldCountMismatch(sides) => show("fields:", sides),
        A::MismatchedPrefixSize(sides) => show("fields of version 1.0:", sides),
        A::UnexpectedField(sides) => {
            let ExpectedFound { expected, found } = sides;
            let names = ExpectedFound { expected: expected.name(), found: found.name() };
            show("field", &names)
        }
        other => {
            let name = format!("{other:?}");
            let name = name.split(['(', ' ', '{']).next().unwrap_or_default();
            ("the same".to_owned(), format!("another ({name})"))
        }
    }
}

fn show<T: Display>(label: &str, sides: &ExpectedFound<T>) -> (String, String) {
    let show = |side: &T| {
        let text = side.to_string();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{label} {}", words.chars().take(LONGEST_TYPE).collect::<String>())
    };
    (show(&sides.expected), show(&sides.found))
}
